package stack

// Stages of processes; make down stops the highest first.
const (
	StageArchive = iota - 1 // what takes from PostgreSQL all that it writes, to its end
	StageStore              // PostgreSQL and Redis, which all others write to
	StageInfra              // the other infrastructure
	StageApp                // apps, each together with its sidecar
	StageEdge               // sidecars of the edge
	StageFront              // Nginx: nothing new comes in
)
