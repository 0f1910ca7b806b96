package main

import (
	"context"
	"errors"
)

// load fills the databases.
func (b *bench) load(context.Context) error { return errors.New("-size: there is no loader yet") }
