package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
)

const (
	headEvery    = 10 * time.Second // how often the log of entries is signed
	entriesKept  = 90 * 24 * time.Hour
	askedAtOnce  = 100                  // claims that inventory takes at once
	mostSettled  = 50                   // so many hundreds of claims are settled before others have their turn
	takenBackFor = 5 * dapr.CallTimeout // for how long inventory is asked to take back what it may still be asked to hold
	lapsedSince  = time.Second          // how long ago a claim's end was before it is asked what became of it
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Alone("move drops on", time.Second, s.moveAll)
	rt.Alone("forget old entries", time.Hour, func(ctx context.Context) error {
		return s.store.forgetOld(ctx, s.now().Add(-entriesKept))
	})
	rt.Alone("tell that it is over", 2*time.Second, s.tellMissed)
	rt.Go("long polls", time.Second, s.wakeChanged)
	rt.Missed("auth")
	rt.Metrics.MustRegister(metrics{s})
}

// movedAt is when this instance moved a drop on; when it has never, when it began.
func (s *service) movedAt(id uuid.UUID) time.Time {
	if at, ok := s.moved.Load(id); ok {
		return at.(time.Time)
	}
	return s.started
}

// wakeChanged has those look again whose entries have changed, by one statement however many wait at this instance. Which
// instance moves drops on makes no difference.
func (s *service) wakeChanged(ctx context.Context) error {
	ids := s.polls.IDs()
	if len(ids) == 0 {
		s.seen = nil
		return nil
	}
	now, err := s.store.versions(ctx, ids...)
	if err != nil {
		return err
	}
	for id, version := range now {
		if s.seen[id] != version {
			s.polls.Wake(id)
		}
	}
	s.seen = now
	return nil
}

// moveAll moves every drop on. One that cannot be moved does not hold the others up.
func (s *service) moveAll(ctx context.Context) error {
	back := errors.Join(s.takeBack(ctx), s.addAll(ctx)) // then it is free for who is next
	drops, err := s.store.live(ctx)
	err = errors.Join(back, err)
	for _, d := range drops {
		if e := s.move(ctx, d); e != nil {
			err = errors.Join(err, fmt.Errorf("drop %s: %w", d.Slug, e))
			continue
		}
		s.moved.Store(d.ID, s.now())
	}
	return err
}

// move does what is due about a drop. Each step is done again until it has succeeded, and changes nothing the second time.
func (s *service) move(ctx context.Context, d Drop) error {
	now := s.now()
	switch {
	case d.Lots == "asked":
		_, err := s.setAside(ctx, d.ID)
		return err
	case d.Lots == "closing":
		return s.giveBack(ctx, d.ID)
	case d.State == Scheduled && d.Preset != FirstCome && !now.Before(*d.PrequeueAt):
		_, err := s.store.change(ctx, d.ID, func(_ pgx.Tx, d *Drop) error {
			if d.State == Scheduled {
				d.State = Prequeue
			}
			return nil
		})
		return err
	case (d.State == Scheduled || d.State == Prequeue) && !now.Before(d.OpensAt):
		if err := s.freeze(ctx, d.ID); err != nil {
			return err
		}
		return s.reveal(ctx, d.ID)
	case d.State == Prequeue:
		return s.signHead(ctx, d)
	case d.State == Drawing:
		return s.reveal(ctx, d.ID)
	case d.State.Gives(), d.State == Paused:
		return s.give(ctx, d.ID)
	}
	return nil
}

// setAside asks inventory for a drop's units, and schedules it when it has them. Errors: ErrLots with inventory's reason, when
// they cannot be had: then the drop is a draft as before. An answer about lots that the draft has not any more is none: by then it
// was refused, changed, and asked for anew.
func (s *service) setAside(ctx context.Context, id uuid.UUID) (Drop, error) {
	_, lots, err := s.store.byID(ctx, id)
	if err != nil {
		return Drop{}, err
	}
	stand, err := s.inventory.open(ctx, id, wantedOf(lots))
	var refused *problem.Error
	if err != nil && (!errors.As(err, &refused) || refused.Ours()) {
		return Drop{}, err // asked again
	}
	reason := ""
	if refused != nil {
		reason = refused.Slug()
	}
	d, err := s.store.change(ctx, id, func(tx pgx.Tx, d *Drop) error {
		now, err := lotsOf(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case !slices.Equal(wantedOf(now), wantedOf(lots)):
			stand, refused = nil, nil
			return nil
		case d.Lots != "asked":
			return nil
		case reason != "":
			d.Lots, d.Refused = "refused", reason
			return nil
		}
		d.Lots, d.Refused, d.State = "open", "", Scheduled
		return outbox.Put(ctx, tx, events.DropScheduled{
			DropID: d.ID, Slug: d.Slug, Title: d.Title, SKUs: skusOf(lots), OpensAt: d.OpensAt, ClosesAt: d.ClosesAt, At: s.now(),
		})
	})
	switch {
	case err != nil:
		return d, err
	case refused != nil:
		p := ErrLots.With("reason", refused.Slug())
		for _, member := range []string{"sku", "available"} {
			if v := refused.Member(member); v != nil {
				p = p.With(member, v)
			}
		}
		return d, p
	}
	return d, s.store.stand(ctx, id, stand)
}

func skusOf(lots []Lot) []string {
	skus := make([]string, 0, len(lots))
	for _, l := range lots {
		skus = append(skus, l.SKU)
	}
	return skus
}

// giveBack closes the lots of a drop that is over.
func (s *service) giveBack(ctx context.Context, id uuid.UUID) error {
	if err := s.inventory.close(ctx, id); err != nil {
		return err
	}
	_, err := s.store.change(ctx, id, func(_ pgx.Tx, d *Drop) error {
		d.Lots = "closed"
		return nil
	})
	return err
}

// signHead signs the log of entries when it has grown and the last head is old enough.
func (s *service) signHead(ctx context.Context, d Drop) error {
	last, err := heads(ctx, s.store.db, d.ID, 1)
	if err != nil {
		return err
	}
	if len(last) > 0 && (s.now().Sub(last[0].At) < headEvery || int64(last[0].Size) == d.Entered) {
		return nil
	}
	t := proof.NewTree(false)
	if err := grow(ctx, s.store.db, d.ID, t); err != nil {
		return err
	}
	key, err := s.headKey(d)
	if err != nil {
		return err
	}
	return addHead(ctx, s.store.db, d.ID, proof.SignHead(key, d.Slug, t.Size(), t.Root(), s.now()))
}

// headKey is the key that a drop's rules say signs its heads, whichever signs those of new ones by now. Of a drop that was scheduled
// before rules named one it is that one.
func (s *service) headKey(d Drop) (ed25519.PrivateKey, error) {
	var r proof.Rules
	if err := json.Unmarshal([]byte(*d.Rules), &r); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	if r.HeadKey == nil {
		return proof.HeadKey(s.settings.HeadKey.Signs()), nil
	}
	for _, setting := range s.settings.HeadKey {
		if key := proof.HeadKey([]byte(setting)); string(key.Public().(ed25519.PublicKey)) == string(r.HeadKey) {
			return key, nil
		}
	}
	return nil, errors.New("no key of DROPS_HEAD_KEY is the one that the drop's rules name")
}

// freeze ends the log of those whose order is drawn: from now on its root is fixed, and signed.
func (s *service) freeze(ctx context.Context, id uuid.UUID) error {
	_, err := s.store.change(ctx, id, func(tx pgx.Tx, d *Drop) error {
		if d.State != Scheduled && d.State != Prequeue {
			return nil
		}
		t := proof.NewTree(false)
		if err := grow(ctx, tx, id, t); err != nil {
			return err
		}
		key, err := s.headKey(*d)
		if err != nil {
			return err
		}
		n, root := int64(t.Size()), t.Root()
		d.State, d.N, d.Root = Drawing, &n, root[:]
		return addHead(ctx, tx, id, proof.SignHead(key, d.Slug, t.Size(), root, s.now()))
	})
	return err
}

// secretOf is the secret that a drop has committed itself to.
func (s *service) secretOf(d Drop) ([32]byte, error) {
	for _, key := range s.settings.HeadKey {
		secret := drop.SecretOf([]byte(key), d.Nonce, d.Slug)
		if commitment := drop.Commitment(d.Slug, []byte(*d.Rules), secret); string(commitment[:]) == string(d.Commitment) {
			return secret, nil
		}
	}
	return [32]byte{}, errors.New("no key of DROPS_HEAD_KEY gives the secret that the drop has committed itself to")
}

// reveal draws the order once the beacon has told its round, and opens the drop. The seed is told as soon as it is known: pages work
// out their own positions by it while all are written.
func (s *service) reveal(ctx context.Context, id uuid.UUID) error {
	d, lots, err := s.store.byID(ctx, id)
	if err != nil || d.State != Drawing {
		return err
	}
	if d.Seed == nil {
		if d, err = s.tellSeed(ctx, d); err != nil || d.Seed == nil {
			return err
		}
	}
	if err := s.store.setPositions(ctx, id, drop.Positions(uint64(*d.N), [32]byte(d.Seed))); err != nil {
		return err
	}
	_, err = s.store.change(ctx, id, func(tx pgx.Tx, d *Drop) error {
		if d.State != Drawing {
			return nil
		}
		now := s.now()
		d.State, d.OpenedAt = Open, &now
		if err := countWanted(ctx, tx, id); err != nil {
			return err
		}
		return outbox.Put(ctx, tx, events.DropOpened{DropID: id, Slug: d.Slug, SKUs: skusOf(lots), At: now})
	})
	if err != nil {
		return err
	}
	return s.give(ctx, id)
}

// tellSeed reveals what the order of a drop follows from, once the beacon has told its round; before that the drop has no seed.
func (s *service) tellSeed(ctx context.Context, d Drop) (Drop, error) {
	var signature, randomness []byte
	if d.Beacon == proof.BeaconDrand {
		round := uint64(*d.BeaconRound)
		if s.now().Before(proof.Quicknet.TimeOf(round)) {
			return d, nil
		}
		var err error
		if signature, err = s.beacon.signature(ctx, round); err != nil {
			return d, err
		}
		told, err := proof.Quicknet.Check(round, signature)
		if err != nil {
			return d, err
		}
		randomness = told[:]
	}
	secret, err := s.secretOf(d)
	if err != nil {
		return d, err
	}
	seed := drop.Seed(secret, randomness, [32]byte(d.Root), uint64(*d.N))
	return s.store.change(ctx, d.ID, func(_ pgx.Tx, d *Drop) error {
		if d.State == Drawing {
			d.BeaconSignature, d.Secret, d.Seed = signature, secret[:], seed[:]
		}
		return nil
	})
}

// give moves an open drop on: what inventory says, what ended, what came back to those who stand by, and who is called next.
func (s *service) give(ctx context.Context, id uuid.UUID) error {
	d, _, err := s.store.byID(ctx, id)
	if err != nil {
		return err
	}
	if d.State.Gives() { // what they have is not free any more
		if err := s.askDrawn(ctx, d); err != nil {
			return err
		}
	}
	stood := s.now()
	stand, err := s.inventory.lots(ctx, id)
	if err != nil {
		return err
	}
	if err := s.store.stand(ctx, id, stand); err != nil {
		return err
	}
	if err := s.settle(ctx, id); err != nil {
		return err
	}
	d, lots, err := s.store.byID(ctx, id) // as staff may have changed it
	if err != nil {
		return err
	}
	waiting, err := s.store.drawnUnits(ctx, id)
	if err != nil {
		return err
	}
	for i := range lots {
		lots[i].Free = max(0, lots[i].Free-int64(waiting[lots[i].SKU]))
	}
	switch {
	case !d.State.Gives() || !s.now().Before(d.ClosesAt): // nobody could take it any more
	case d.Preset == Draw:
		if err := s.draw(ctx, d, lots); err != nil {
			return err
		}
	default:
		for i := range lots {
			if err := s.offer(ctx, d, &lots[i], math.MaxInt64); err != nil {
				return err
			}
		}
	}
	over := false
	_, err = s.store.change(ctx, id, func(tx pgx.Tx, d *Drop) error {
		now := s.now()
		if d.State.Gives() {
			if d.Preset != Draw && now.Before(d.ClosesAt) {
				if err := s.callNext(ctx, tx, *d, lots, stood); err != nil {
					return err
				}
			}
			d.State = d.Give(lots)
		}
		if d.State.Over() || (d.State.Gives() || d.State == Paused) && !now.Before(d.ClosesAt) {
			over = true
			return s.end(ctx, tx, d, skusOf(lots))
		}
		return nil
	})
	if err != nil || !over {
		return err
	}
	return s.giveBack(ctx, id)
}

// end ends a drop, and tells it.
func (s *service) end(ctx context.Context, tx pgx.Tx, d *Drop, skus []string) error {
	now := s.now()
	if d.State != SoldOut {
		d.State = Closed
	}
	d.EndedAt, d.Lots = &now, "closing"
	if d.State == SoldOut {
		return outbox.Put(ctx, tx, events.DropSoldOut{DropID: d.ID, Slug: d.Slug, SKUs: skus, At: now})
	}
	return outbox.Put(ctx, tx, events.DropClosed{DropID: d.ID, Slug: d.Slug, SKUs: skus, At: now})
}

// settle asks inventory what became of claims whose end has come: an order has the units, or they are free again.
func (s *service) settle(ctx context.Context, id uuid.UUID) error {
	for range mostSettled {
		ended, err := s.store.ended(ctx, id, s.now().Add(-lapsedSince), askedAtOnce)
		if err != nil || len(ended) == 0 {
			return err
		}
		if err := s.learn(ctx, id, ended); err != nil || len(ended) < askedAtOnce {
			return err
		}
	}
	return nil
}

// addAll asks for the units that staff want more of, until inventory has answered.
func (s *service) addAll(ctx context.Context) error {
	lots, err := s.store.adding(ctx)
	for _, l := range lots {
		var refused *problem.Error
		if e := s.addUnits(ctx, l.DropID, l.SKU); !errors.As(e, &refused) || refused.Ours() {
			err = errors.Join(err, e)
		}
	}
	return err
}

// addUnits asks inventory for what a lot is to have in all, as was written down before, and notes its answer in the public log. Errors:
// inventory's refusal, of which nothing is left to be asked.
func (s *service) addUnits(ctx context.Context, id uuid.UUID, sku string) error {
	_, lots, err := s.store.byID(ctx, id)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(lots, func(l Lot) bool { return l.SKU == sku && l.Adding != nil })
	if at < 0 {
		return nil
	}
	wants := *lots[at].Adding
	stand, asked := s.inventory.open(ctx, id, []LotWanted{{sku, wants, lots[at].Most}})
	var refused *problem.Error
	if asked != nil && (!errors.As(asked, &refused) || refused.Ours()) {
		return asked
	}
	if err := s.store.stand(ctx, id, stand); err != nil {
		return err
	}
	act, detail := "units", inAll(sku, wants)
	if refused != nil {
		act, detail = "units-refused", detail+", "+refused.Slug()
	}
	_, err = s.store.change(ctx, id, func(tx pgx.Tx, _ *Drop) error {
		now, err := lotsOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if l := now[at]; l.Adding == nil || *l.Adding != wants {
			return nil // another instance has noted it, or more is asked for by now
		}
		if err := setAdding(ctx, tx, id, sku, nil); err != nil {
			return err
		}
		return noteAnswer(ctx, tx, id, act, inAll(sku, wants), detail, s.now())
	})
	return cmp.Or(err, asked)
}

// takeBack has inventory take back what it holds for claims that end. It is asked so again and again until nothing that asked for such
// a hold can be on its way any more, from an instance that knew nothing of the end, or crashed: only then the claim is over.
func (s *service) takeBack(ctx context.Context) error {
	drops, err := s.store.ending(ctx)
	for id, claims := range drops {
		for part := range slices.Chunk(claims, askedAtOnce) {
			err = errors.Join(err, s.takeBackOf(ctx, id, part))
		}
	}
	return err
}

func (s *service) takeBackOf(ctx context.Context, id uuid.UUID, claims []toClaim) error {
	answers, err := s.inventory.claim(ctx, id, pg.Column(claims, toClaim.none))
	if err != nil {
		return err
	}
	var over []toClaim
	for i, c := range claims {
		switch {
		case answers[i].Err != nil:
			err = errors.Join(err, answers[i].Err)
		case !s.now().Before(*c.Until):
			over = append(over, c)
		}
	}
	if len(over) > 0 {
		err = errors.Join(err, s.learn(ctx, id, over))
	}
	return err
}

// offer holds what is free for those who stand by, the next first. Who has let more than so many lapse has to wait. What is left of
// the lot's free units afterwards is nobody's who stands by.
func (s *service) offer(ctx context.Context, d Drop, lot *Lot, lapses int64) error {
	after := drop.Rank{Lapses: -1}
	for range mostSettled {
		if lot.Free == 0 {
			return nil
		}
		standby, err := s.store.standby(ctx, d.ID, lot.SKU, lot.Free, lapses, after, askedAtOnce)
		if err != nil || len(standby) == 0 {
			return err
		}
		after = standby[len(standby)-1].Rank()
		if err := s.offerTo(ctx, d, lot, standby); err != nil || len(standby) < askedAtOnce {
			return err
		}
	}
	lot.Free = 0 // it is for those who stand by behind them: they have it in a second
	return nil
}

// offerTo offers what is free to those of some who stand by whom it does for.
func (s *service) offerTo(ctx context.Context, d Drop, lot *Lot, standby []toClaim) error {
	served, left := drop.Serve(lot.Free, pg.Column(standby, func(c toClaim) int64 { return c.Quantity }))
	lot.Free = left
	keys := make([]claimKey, 0, len(served))
	accounts := map[claimKey]uuid.UUID{}
	for _, i := range served {
		k := standby[i].key()
		keys, accounts[k] = append(keys, k), standby[i].AccountID
	}
	now := s.now()
	until := d.within(now, d.StandbyS)
	var asked []toClaim
	err := s.store.changeClaims(ctx, d.ID, keys, func(_ pgx.Tx, claims map[claimKey]*Claim) (changed []claimKey, err error) {
		asked = nil
		for _, k := range keys {
			if c := claims[k]; c != nil && c.Offer(now, until) {
				changed, asked = append(changed, k), append(asked, toClaim{*c, accounts[k]})
			}
		}
		return changed, nil
	})
	if err != nil {
		return err
	}
	_, err = s.hold(ctx, d.ID, asked)
	return err
}

// callNext calls as many as there is hope for, of what is free after those who stand by, and notes up to which position units
// will do then. The lots stand as inventory said when it was asked, at stood: who has claimed since counts as not heard of, since
// their units are still free there.
func (s *service) callNext(ctx context.Context, tx pgx.Tx, d Drop, lots []Lot, stood time.Time) error {
	now := s.now()
	if err := settleCalls(ctx, tx, d.ID, now.Add(-seconds(d.GraceS)), now); err != nil {
		return err
	}
	open, err := openCalls(ctx, tx, d.ID, stood)
	if err != nil {
		return err
	}
	fresh, err := lotsOf(ctx, tx, d.ID) // with who came until now
	if err != nil {
		return err
	}
	for i := range fresh {
		l := &fresh[i]
		l.Free = lots[i].Free // less what was offered just now
		line := l.line(d, open[l.SKU])
		if n := line.Call().More(); n > 0 {
			positions, who, err := next(ctx, tx, d.ID, l.SKU, l.Called, n)
			if err != nil {
				return err
			}
			if len(positions) > 0 {
				if err := s.callThem(ctx, tx, d, l, positions, who, now); err != nil {
					return err
				}
				line.Open += int64(len(positions))
			}
		}
		l.LikelyBelow = line.LikelyBelow(l.Called)
	}
	return setLikely(ctx, tx, d.ID, fresh)
}

// callThem calls those at some positions, which are the next ones for a lot, and tells those of them who asked for it.
func (s *service) callThem(ctx context.Context, tx pgx.Tx, d Drop, l *Lot, positions []int64, who []called, now time.Time) error {
	first := l.Called
	l.Called = positions[len(positions)-1] + 1
	if err := call(ctx, tx, d.ID, l.SKU, first, l.Called, len(positions), now); err != nil || !d.Notify {
		return err
	}
	var told []outbox.Event
	for _, w := range who {
		if w.Email != nil {
			told = append(told, d.called(w, l.SKU, d.within(now, d.GraceS), now))
		}
	}
	return outbox.Put(ctx, tx, told...)
}
