package stack

// Stages of processes; make down stops the highest first.
const (
	StageStore = iota // PostgreSQL and Redis, which all others write to
	StageInfra        // the other infrastructure
	StageApp          // apps, each together with its sidecar
	StageEdge         // sidecars of the edge
	StageFront        // Nginx: nothing new comes in
)
