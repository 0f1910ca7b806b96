// Command drops holds sales to which more people come than there are units: who entered, in which order they are called, and
// how anybody can check it. README.md says what it owns, whom it asks and whom it hears.
package main

import (
	"embed"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/longpoll"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.MainWithDatabase("drops", migrations, newService) }

// settings are what the environment may change.
type settings struct {
	Key       serve.Keys    `env:"DROPS_KEY" secret:"32" doc:"Signs tickets; the gateway has it, too; others behind commas are believed"`
	HeadKey   serve.Keys    `env:"DROPS_HEAD_KEY" secret:"32" doc:"Signs heads and has the shuffles' secrets; old ones behind commas"`
	BeaconURL serve.URL     `env:"DROPS_BEACON_URL" envDefault:"https://api.drand.sh" doc:"A relay of drand"`
	MoreTime  time.Duration `env:"DROPS_MORE_TIME" envDefault:"5m" doc:"How much longer a claim is held when its owner asks, twice"`
}

// snapshotFresh is how long a drop's snapshot serves: one instance reads it so often at most, and the gateway asks for the status once
// a second.
const snapshotFresh = 250 * time.Millisecond

// service is drops: what it keeps, what it signs with, and whom it asks.
type service struct {
	settings  settings
	store     store
	entries   *gather.Gatherer[entering, entered]
	claims    *gather.Gatherer[claiming, claimed]
	looks     *gather.Gatherer[looking, struct{}]
	proofs    *gather.Gatherer[proving, EntryProof]
	inventory inventory
	beacon    beacon
	heard     heard                                // of the beacon
	snapshots *otter.Cache[string, snapshot]       // by slug
	trees     *otter.Cache[uuid.UUID, *proof.Tree] // of drops, by their ids
	polls     *longpoll.Polls
	seen      map[uuid.UUID]string // versions of entries that are waited for
	stopping  <-chan struct{}
	started   time.Time
	moved     sync.Map // when a drop was moved on by this instance, by its id
}

func (s *service) now() time.Time { return s.store.now() }

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	s := &service{
		settings: set, store: store{db, rt.Now},
		inventory: inventory{rt.Dapr}, beacon: relay{http.DefaultClient, string(set.BeaconURL), relayLimit},
		polls: longpoll.New(longpoll.Most), stopping: rt.Stopping(),
		started: rt.Now(),
	}
	s.entries = gather.New(gather.Settings[entering]{
		Most: 200, Waiting: 5000, Conflict: func(e entering) string { return e.drop.String() + e.account.String() },
	}, s.enterAll)
	s.claims = gather.New(gather.Settings[claiming]{
		Most: 100, Waiting: 5000, Conflict: func(c claiming) string { return c.drop.ID.String() + c.account.String() },
	}, s.claimAll)
	s.looks = gather.New(gather.Settings[looking]{
		Most: 100, Waiting: 5000, Conflict: func(l looking) string { return l.EntryID.String() + l.SKU },
	}, s.lookAll)
	s.proofs = gather.New(gather.Settings[proving]{Most: 200, Waiting: 5000}, s.proveAll)
	s.trees = otter.Must(&otter.Options[uuid.UUID, *proof.Tree]{
		MaximumWeight: mostLeaves, Weigher: func(_ uuid.UUID, t *proof.Tree) uint32 { return uint32(t.Size()) },
	})
	s.snapshots = otter.Must(&otter.Options[string, snapshot]{
		MaximumSize: 100, ExpiryCalculator: otter.ExpiryWriting[string, snapshot](snapshotFresh),
	})
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	s.work(rt)
	return s, nil
}
