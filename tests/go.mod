module github.com/stampede-shop/stampede/tests

go 1.26
