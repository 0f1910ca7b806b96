package main

import (
	"time"

	"github.com/google/uuid"
)

// Entry is what a shopper has here. Its states, rules and problems belong into
// this file.
type Entry struct {
	ID        uuid.UUID `json:"id"`
	Note      string    `json:"note"`
	CreatedAt time.Time `json:"created_at"`
}
