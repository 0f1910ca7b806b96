package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/stampede-shop/stampede/tests/shop"
)

// The services whose events are sent again, and those whose are lost: what shoppers and their money need.
var (
	senders = []string{"auth", "users", "products", "inventory", "orders", "payments", "drops"}
	losers  = []string{"orders", "payments"}
)

// prepare makes events losable: while chaos_lose says so, an event counts as published from the moment on at which it is
// saved, as when a broker confirms and then forgets.
func (s stack) prepare(ctx context.Context) error {
	for _, database := range losers {
		_, err := s.sql(ctx, database, `
			CREATE TABLE IF NOT EXISTS chaos_lose (until timestamptz NOT NULL);
			CREATE OR REPLACE FUNCTION chaos_lose() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
			BEGIN
				IF EXISTS (SELECT FROM public.chaos_lose WHERE until > clock_timestamp()) THEN NEW.sent_at := now(); END IF;
				RETURN NEW;
			END $$;
			CREATE OR REPLACE TRIGGER chaos_lose BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION chaos_lose()`)
		if err != nil {
			return err
		}
	}
	return nil
}

// do lets an act happen, to its end. What it did is undone then, whatever ctx says.
func (s stack) do(ctx context.Context, a Act, crowd []*shopper) error {
	over := func() {
		select {
		case <-ctx.Done():
		case <-time.After(a.For):
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.For+time.Minute)
	defer cancel()
	proxy := "/proxies/" + a.Target
	toxic := func(kind string, attributes map[string]any) error {
		var added []string
		var errs []error
		for _, stream := range []string{"upstream", "downstream"} {
			name := kind + "-" + stream
			err := s.wire(last, "POST", proxy+"/toxics", map[string]any{"name": name, "type": kind, "stream": stream, "attributes": attributes})
			if err == nil {
				added = append(added, name)
			}
			errs = append(errs, err)
		}
		over()
		for _, name := range added {
			errs = append(errs, s.wire(last, "DELETE", proxy+"/toxics/"+name, nil))
		}
		return errors.Join(errs...)
	}
	switch a.Kind {
	case Kill, Pause:
		p, err := s.process(a.Target)
		if err != nil || p.PID == 0 {
			return err // it is down already
		}
		if a.Kind == Kill {
			return syscall.Kill(-p.PID, syscall.SIGKILL)
		}
		pids := family(p.PID)
		signal(pids, syscall.SIGSTOP)
		over()
		signal(pids, syscall.SIGCONT)
		return nil
	case HangUp:
		s.hangUp(ctx, a, crowd)
		return nil
	case Cut:
		if err := s.wire(last, "POST", proxy, map[string]any{"enabled": false}); err != nil {
			return err
		}
		over()
		return s.wire(last, "POST", proxy, map[string]any{"enabled": true})
	case Delay:
		return toxic("latency", map[string]any{"latency": a.Value / 2, "jitter": a.Value / 8}) // both ways
	case Slow:
		return toxic("bandwidth", map[string]any{"rate": a.Value})
	case Swallow:
		return toxic("timeout", map[string]any{"timeout": 0})
	case DiskFull:
		if err := s.DiskLimit(last, "1000000GB"); err != nil {
			return nil // the broker is away, which is another act
		}
		over()
		for last.Err() == nil {
			if err := s.DiskLimit(last, "200MB"); err == nil {
				break
			}
		}
		return last.Err()
	case Twice, Late:
		var errs []error
		for _, database := range senders {
			_, err := s.sql(last, database, fmt.Sprintf(`
				UPDATE outbox SET sent_at = NULL, next_try_at = now() + random() * interval '%d milliseconds'
				WHERE id IN (SELECT id FROM outbox WHERE sent_at > now() - interval '1 minute' AND NOT secret ORDER BY random() LIMIT 30)`, a.Value))
			errs = append(errs, err)
		}
		return ignoreAway(errors.Join(errs...))
	case Lost:
		var errs []error
		for _, database := range losers {
			_, err := s.sql(last, database, fmt.Sprintf(`INSERT INTO chaos_lose VALUES (clock_timestamp() + interval '%d milliseconds')`, a.For.Milliseconds()))
			errs = append(errs, err)
		}
		over()
		return ignoreAway(errors.Join(errs...))
	}
	return fmt.Errorf("nobody knows how to %s", a.Kind)
}

// ignoreAway: PostgreSQL may be what another act has broken.
func ignoreAway(error) error { return nil }

// hangUp sends requests and does not wait for their answers.
func (s stack) hangUp(ctx context.Context, a Act, crowd []*shopper) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	gateway := "http://127.0.0.1:" + s.Port(8011)
	var all sync.WaitGroup
	requests := make(chan int)
	for range 32 {
		all.Go(func() {
			for i := range requests {
				url := s.Base
				if i%2 == 0 {
					url = gateway
				}
				switch i % 5 {
				case 0:
					url += "/api/v1/products?q=" + shop.Random()
				case 1:
					url += "/api/v1/orders?x=" + shop.Random()
				case 2:
					url += "/?x=" + shop.Random()
				case 3:
					url += "/media/" + shop.Random() + ".webp"
				case 4:
					url += "/api/v1/cart?x=" + shop.Random()
				}
				one, cancel := context.WithTimeout(ctx, time.Duration(1+rand.IntN(25))*time.Millisecond)
				if req, err := http.NewRequestWithContext(one, "GET", url, nil); err == nil {
					req.Header.Set("Authorization", "Bearer "+crowd[i%len(crowd)].token())
					if resp, err := client.Do(req); err == nil {
						resp.Body.Close()
					}
				}
				cancel()
			}
		})
	}
	for i := range a.Value {
		requests <- i
	}
	close(requests)
	all.Wait()
}
