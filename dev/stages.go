package main

// Stages of make down, which stops the highest first.
const (
	stageStore = iota // PostgreSQL and Redis, which all others write to
	stageInfra        // the other infrastructure
	stageApp          // apps, each together with its sidecar
	stageEdge         // sidecars of the edge
	stageFront        // Nginx: nothing new comes in
)
