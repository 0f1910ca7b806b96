package serve

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/stampede-shop/stampede/kit/pause"
)

const (
	leaveLimit = 3 * time.Second        // for who keeps the list to take the service out of it
	askedAfter = 5 * time.Second        // who has not asked for so long keeps no list
	listedFor  = 2 * time.Second        // until who has listed the service is answered, and asks again
	late       = 500 * time.Millisecond // calls from callers that found the service just before
)

// listing is what the service knows of the list by which callers find it. On one
// machine its sidecar keeps that (dapr/daprd/names): it asks /listz again and
// again whether calls are welcome, and says whether the service is listed.
// Elsewhere the list is the platform's: who asks says nothing of it, and nothing
// waits.
type listing struct {
	mu     sync.Mutex
	asked  time.Time
	listed bool
}

func (l *listing) note(listed bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.listed = now, listed
}

// state tells whether somebody keeps a list, and whether the service is in it.
func (l *listing) state(now time.Time) (kept, listed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept = now.Sub(l.asked) < askedAfter
	return kept, kept && l.listed
}

// leave returns when the service is not listed any more and who found it just
// before has called.
func (l *listing) leave(ctx context.Context) {
	if _, listed := l.state(time.Now()); !listed {
		return
	}
	limited, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	for listed := true; listed && pause.For(limited, 20*time.Millisecond); {
		_, listed = l.state(time.Now())
	}
	pause.For(ctx, late)
}

// mayBeListed answers 503 until the service reaches its sidecar, which without a
// database it is faster than, and from the moment at which it begins to stop;
// who has listed it hears nothing until then, or for listedFor.
func (rt *Runtime) mayBeListed(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	listed := query.Get("listed") == "true"
	if query.Has("listed") {
		rt.listing.note(listed, time.Now())
	}
	if listed {
		ctx, cancel := context.WithTimeout(r.Context(), listedFor)
		defer cancel()
		select {
		case <-rt.stopping:
		case <-ctx.Done():
		}
	}
	if !listed && rt.Dapr.Alive(r.Context()) != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "no sidecar")
		return
	}
	select {
	case <-rt.stopping:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "stopping")
	default:
		fmt.Fprintln(w, "welcome")
	}
}
