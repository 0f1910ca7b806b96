package rest_test

import "testing/fstest"

// noMigrations asks for a database with kit's tables only.
var noMigrations = fstest.MapFS{"migrations/00001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}
