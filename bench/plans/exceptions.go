package main

// exceptions are the statements that may read more than the ordinary bound.
var exceptions = []exception{}
