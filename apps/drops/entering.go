package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
)

// entering is what an account wants of a drop.
type entering struct {
	drop, account uuid.UUID
	skus          []string
	quantity      int64
	email         *string // where the account is told what becomes of it; nil: nowhere
}

// entered is an entry, and whether it was made just now.
type entered struct {
	Entry
	made bool
}

// isShopper refuses who is none, whatever the drop. Errors: ErrNotEligible with the rule.
func isShopper(caller auth.Caller) error {
	if !caller.Has(auth.RoleUser) {
		return ErrNotEligible.With("rule", "shoppers")
	}
	return nil
}

// enterAll enters all who come together.
func (s *service) enterAll(ctx context.Context, batch []entering) (answers []gather.Answer[entered], err error) {
	drops := map[uuid.UUID][]int{}
	for i, e := range batch {
		drops[e.drop] = append(drops[e.drop], i)
	}
	ids := slices.SortedFunc(maps.Keys(drops), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	err = pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		answers = make([]gather.Answer[entered], len(batch))
		for _, id := range ids {
			if err := s.enterOf(ctx, tx, id, batch, drops[id], answers); err != nil {
				return err
			}
		}
		return nil
	})
	return answers, err
}

// enterOf enters the members of a batch that are of one drop. An entry's number is its place in the drop's log, given under the
// drop's lock: there are no gaps, and none is given twice.
func (s *service) enterOf(
	ctx context.Context, tx pgx.Tx, id uuid.UUID, batch []entering, members []int, answers []gather.Answer[entered],
) error {
	d, err := lockDrop(ctx, tx, id)
	if err != nil {
		return err
	}
	accounts := pg.Column(members, func(i int) uuid.UUID { return batch[i].account })
	there, err := entriesOf(ctx, tx, id, accounts, true)
	if err != nil {
		return err
	}
	out, err := suspended(ctx, tx, accounts)
	if err != nil {
		return err
	}
	var fresh []Entry
	for _, i := range members {
		in, a := batch[i], &answers[i]
		if slices.Contains(out, in.account) {
			a.Err = errSuspended
			continue
		}
		if e, ok := there[in.account]; ok {
			a.Value.Entry = e
			if a.Err = a.Value.again(d, in, s.now()); a.Err == nil && !reflect.DeepEqual(a.Value.Entry, e) {
				if err := setEntry(ctx, tx, a.Value.Entry, s.now()); err != nil {
					return err
				}
			}
			continue
		}
		if a.Err = d.MayEnter(s.now()); a.Err == nil {
			a.Value = entered{d.enter(in, s.now()), true}
			fresh = append(fresh, a.Value.Entry)
		}
	}
	return addEntries(ctx, tx, d, fresh)
}

var errSuspended = ErrNotEligible.With("rule", "suspended")

// enter gives an account its place.
func (d *Drop) enter(in entering, now time.Time) Entry {
	e := Entry{
		ID: uuid.Must(uuid.NewV7()), AccountID: in.account, Idx: d.Entered, SKUs: in.skus, Quantity: in.quantity,
		Salt: make([]byte, 16), EnteredAt: now, Email: in.email,
	}
	_, _ = rand.Read(e.Salt) // it never fails
	leaf := proof.Leaf(e.ID, e.AccountID, e.Salt)
	e.Leaf = leaf[:]
	if d.N != nil { // behind all who were shuffled
		position := e.Idx
		e.Position = &position
	}
	d.Entered++
	return e
}

// again has who has entered come again, from another device or after leaving: with the place that they have. What they want
// they may change until the opening, and whether they are told until it is over. Errors: ErrNotEligible; for who has left,
// those of MayEnter.
func (e *entered) again(d Drop, in entering, now time.Time) error {
	if e.Excluded != nil {
		return ErrNotEligible.With("rule", "excluded").With("reason", *e.Excluded)
	}
	closed := d.MayEnter(now)
	if e.LeftAt != nil {
		if closed != nil {
			return closed
		}
		e.LeftAt = nil
	}
	if closed == nil && d.N == nil {
		e.SKUs, e.Quantity = in.skus, in.quantity
	}
	if !d.State.Over() {
		e.Email = in.email
	}
	return nil
}

// ticket is what who has entered shows from now on.
func (s *service) ticket(d Drop, e Entry) string {
	key := s.settings.Key.Signs()
	return drop.Ticket{
		Drop: d.Slug, Subject: drop.Subject(key, d.Slug, e.AccountID.String()), Entry: e.ID.String(), Idx: uint64(e.Idx),
		IssuedAt: s.now().Unix(), ExpiresAt: d.ClosesAt.Add(ticketAfter).Unix(),
	}.Sign(drop.TicketKey(key, d.Slug))
}

// claiming is what an account claims. Of the drop it knows what was published.
type claiming struct {
	drop     Drop
	account  uuid.UUID
	entry    uuid.UUID // by the ticket
	sku      string
	quantity int64
}

// readTicket reads which entry a drop's ticket is of, which has to be the caller's, or ErrTicket.
func (s *service) readTicket(text, slug string, caller auth.Caller) (uuid.UUID, error) {
	for _, setting := range s.settings.Key {
		key := []byte(setting)
		t, err := drop.ReadTicket(text, drop.TicketKey(key, slug), slug, s.now())
		if err != nil || t.Subject != drop.Subject(key, slug, caller.ID.String()) {
			continue
		}
		if entry, err := uuid.Parse(t.Entry); err == nil {
			return entry, nil
		}
	}
	return uuid.Nil, ErrTicket
}

// may checks a claim against its entry and the turns of the drop. Errors: ErrTicket, ErrNotEligible, ErrNotEntered, ErrNotCalled, those
// of MayClaim.
func (c claiming) may(e Entry, t turns) error {
	d := c.drop
	d.State = t.State
	if err := d.MayClaim(); err != nil {
		return err
	}
	called, ok := t.Called[c.sku]
	switch {
	case c.entry != e.ID:
		return ErrTicket
	case e.Excluded != nil:
		return ErrNotEligible.With("rule", "excluded").With("reason", *e.Excluded)
	case e.LeftAt != nil, !ok, !slices.Contains(e.SKUs, c.sku):
		return ErrNotEntered.With("skus", e.SKUs)
	case c.quantity > e.Quantity:
		return ErrLimitReached.With("limit", e.Quantity)
	case e.Position == nil || *e.Position >= called:
		return ErrNotCalled.With("called", called)
	}
	return nil
}

// claimAll claims for all who come together.
func (s *service) claimAll(ctx context.Context, batch []claiming) ([]gather.Answer[claimed], error) {
	answers := make([]gather.Answer[claimed], len(batch))
	drops := map[uuid.UUID][]int{}
	for i, c := range batch {
		drops[c.drop.ID] = append(drops[c.drop.ID], i)
	}
	for id, members := range drops {
		if err := s.claimOf(ctx, id, batch, members, answers); err != nil {
			for _, i := range members {
				answers[i].Err = cmp.Or(answers[i].Err, err)
			}
		}
	}
	return answers, nil
}

// admitted is a member of a batch who may claim, and the entry by which.
type admitted struct {
	i     int
	entry Entry
}

// claimOf does the members of a batch that are of one drop, in order of their positions. What inventory is asked for is written down
// before, so that none of its holds is without a claim, whoever crashes.
func (s *service) claimOf(ctx context.Context, id uuid.UUID, batch []claiming, members []int, answers []gather.Answer[claimed]) error {
	var in []admitted
	var asked []toClaim
	err := pg.InTx(ctx, s.store.db, func(tx pgx.Tx) (err error) {
		asked = nil
		var t turns
		if in, t, err = admit(ctx, tx, id, batch, members, answers); err != nil || len(in) == 0 {
			return err
		}
		ids := pg.Column(in, func(a admitted) uuid.UUID { return a.entry.ID })
		return s.store.changeLocked(ctx, tx, id, ids, func(claims map[claimKey]*Claim) (changed []claimKey, err error) {
			for _, a := range in {
				c := claims[claimKey{a.entry.ID, batch[a.i].sku}]
				if c == nil {
					c = &Claim{a.entry.ID, batch[a.i].sku, drop.Claim{Position: *a.entry.Position}}
					claims[c.key()] = c
				}
				if wants, ask := s.ask(c, batch[a.i], t); ask {
					asked = append(asked, toClaim{wants, a.entry.AccountID})
				}
				answers[a.i].Value.Claim = *c
				changed = append(changed, c.key())
			}
			return changed, nil
		})
	})
	if err != nil {
		return err
	}
	heard, err := s.hold(ctx, id, asked)
	if err != nil {
		return err
	}
	var standing []uuid.UUID
	places := map[claimKey]*int64{}
	for _, a := range in {
		answer := &answers[a.i]
		k := answer.Value.key()
		if h, ok := heard[k]; ok {
			answer.Value.Claim, answer.Err = h.Value, h.Err
		}
		if answer.Value.State == Standby {
			standing, places[k] = append(standing, a.entry.ID), &answer.Value.Place
		}
	}
	if len(standing) == 0 {
		return nil
	}
	all, err := s.store.claimsOf(ctx, standing...)
	for _, c := range all {
		if place := places[c.key()]; place != nil {
			*place = c.Place
		}
	}
	return err
}

// admit locks the entries by which members of a batch claim, and finds who may, as the drop stands by then; the others have their
// answers.
func admit(
	ctx context.Context, tx pgx.Tx, id uuid.UUID, batch []claiming, members []int, answers []gather.Answer[claimed],
) (in []admitted, t turns, err error) {
	accounts := pg.Column(members, func(i int) uuid.UUID { return batch[i].account })
	there, err := entriesOf(ctx, tx, id, accounts, true)
	if err != nil {
		return nil, t, err
	}
	out, err := suspended(ctx, tx, accounts)
	if err != nil {
		return nil, t, err
	}
	if t, err = turnsOf(ctx, tx, id); err != nil {
		return nil, t, err
	}
	for _, i := range members {
		e, ok := there[batch[i].account]
		switch {
		case slices.Contains(out, batch[i].account):
			answers[i].Err = errSuspended
		case !ok:
			answers[i].Err = ErrEntryNotFound
		default:
			if answers[i].Err = batch[i].may(e, t); answers[i].Err == nil {
				in = append(in, admitted{i, e})
			}
		}
	}
	drop.InTurn(in, func(a admitted) int64 { return *a.entry.Position })
	return in, t, nil
}

// ask has a claim ask for what is wanted. It tells whether inventory is to be asked, and for what.
func (s *service) ask(c *Claim, wants claiming, t turns) (asked Claim, ask bool) {
	quantity := wants.quantity
	var ahead *drop.Rank
	if first, ok := t.First[wants.sku]; ok {
		ahead = &first
	}
	if wants.drop.Preset == Draw { // nobody takes what the next one is drawn for
		ahead = &drop.Rank{Lapses: -1}
		if c.State != "" {
			quantity = min(quantity, c.Quantity)
		}
	}
	asked = *c
	asked.Claim, ask = c.Ask(quantity, s.now(), seconds(wants.drop.HoldS), ahead)
	return asked, ask
}

// hold asks inventory for what is claimed, and notes its answers. It tells what each claim is then, and what it is refused; an error
// is no answer at all: what was asked may be held, and is asked again.
func (s *service) hold(ctx context.Context, of uuid.UUID, asked []toClaim) (heard map[claimKey]gather.Answer[Claim], err error) {
	if len(asked) == 0 {
		return nil, nil
	}
	keys := pg.Column(asked, toClaim.key)
	answers, err := s.inventory.claim(ctx, of, pg.Column(asked, func(c toClaim) wantsHeld { return c.wants(*c.Until) }))
	if err != nil {
		return nil, err
	}
	heard = make(map[claimKey]gather.Answer[Claim], len(asked))
	return heard, s.store.changeClaims(ctx, of, keys, func(_ pgx.Tx, claims map[claimKey]*Claim) (changed []claimKey, err error) {
		for i, k := range keys {
			c, a := claims[k], answers[i]
			if c == nil {
				continue
			}
			refusal, known := refusalOf(a.Err)
			var refused error
			switch {
			case !known:
				heard[k] = gather.Answer[Claim]{Value: *c, Err: a.Err}
				continue
			case !c.Answered(asked[i].Claim.Claim, a.Value.has(), refusal, s.now()):
			case refusal == drop.NoLot:
				refused = ErrDropEnded
			default:
				refused = a.Err
			}
			heard[k] = gather.Answer[Claim]{Value: *c, Err: refused}
			changed = append(changed, k)
		}
		return changed, nil
	})
}

// more has inventory hold a claim until later, and notes it. Asked twice at once it is once, since the end follows from the one
// that the claim had. What a crash leaves unnoted is learnt when the claim is looked at. Errors: ErrClaimLapsed, ErrDropEnded.
func (s *service) more(ctx context.Context, of uuid.UUID, c toClaim, until time.Time) error {
	answers, err := s.inventory.claim(ctx, of, []wantsHeld{c.wants(until)})
	if err != nil {
		return err
	}
	var refused *problem.Error
	switch a := answers[0]; {
	case errors.Is(a.Err, ErrLotClosed): // what is held stays so until its end
		return ErrDropEnded
	case errors.As(a.Err, &refused) && !refused.Ours():
		return ErrClaimLapsed
	case a.Err != nil:
		return a.Err
	}
	return s.store.changeClaims(ctx, of, []claimKey{c.key()}, func(_ pgx.Tx, claims map[claimKey]*Claim) ([]claimKey, error) {
		now := claims[c.key()]
		if now == nil || now.State != Held || now.Extended != c.Extended || !now.Until.Equal(*c.Until) {
			return nil, nil // noted by now, or something has become of it since
		}
		now.Answer(answers[0].Value.has())
		now.Extended++
		return []claimKey{c.key()}, nil
	})
}

// looking is a claim of a drop whose owner wants to know what became of it.
type looking struct {
	drop uuid.UUID
	toClaim
}

// look reads an entry's claims, after inventory was asked what became of those that hold something: an order may have it by
// now. Without an answer they are as they were.
func (s *service) look(ctx context.Context, of uuid.UUID, e Entry) ([]claimed, error) {
	claims, err := s.store.claimsOf(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	asked := false
	for _, c := range claims {
		if c.State != Held && c.State != Offered {
			continue
		}
		if _, err := s.looks.Do(ctx, looking{of, toClaim{c.Claim, e.AccountID}}); err != nil {
			slog.WarnContext(ctx, "a claim is shown as it was", "error", err)
			break
		}
		asked = true
	}
	if !asked {
		return claims, nil
	}
	return s.store.claimsOf(ctx, e.ID)
}

// lookAll asks about all who look together, and changes nothing at inventory.
func (s *service) lookAll(ctx context.Context, batch []looking) ([]gather.Answer[struct{}], error) {
	drops := map[uuid.UUID][]toClaim{}
	for _, l := range batch {
		drops[l.drop] = append(drops[l.drop], l.toClaim)
	}
	for id, asked := range drops {
		if err := s.learn(ctx, id, asked); err != nil {
			return nil, err
		}
	}
	return make([]gather.Answer[struct{}], len(batch)), nil
}

// learn notes what inventory says has become of claims that hold something.
func (s *service) learn(ctx context.Context, of uuid.UUID, asked []toClaim) error {
	has, err := s.inventory.has(ctx, of, asked)
	if err != nil {
		return err
	}
	keys := pg.Column(asked, toClaim.key)
	return s.store.changeClaims(ctx, of, keys, func(tx pgx.Tx, claims map[claimKey]*Claim) (changed []claimKey, err error) {
		paused, err := isPaused(ctx, tx, of)
		if err != nil {
			return nil, err
		}
		for i, k := range keys {
			c := claims[k]
			if c == nil || c.State != asked[i].State || !c.Until.Equal(*asked[i].Until) {
				continue // something has become of it since
			}
			if paused && c.State == Offered { // nobody can accept it: it ends later
				c.Answer(has[i].has())
			} else {
				c.Learn(has[i].has(), s.now())
			}
			changed = append(changed, k)
		}
		return changed, nil
	})
}

// What inventory says to claims.
var (
	ErrOutOfStock   = problem.New(problem.Conflict, "out-of-stock", "Not enough stock")
	ErrLimitReached = problem.New(problem.Conflict, "limit-reached", "A shopper cannot have more")
	ErrClaimLapsed  = problem.New(problem.Conflict, "claim-lapsed", "The claim's time is over")
	ErrLotClosed    = problem.New(problem.Conflict, "lot-closed", "The drop has no open lot of it")
)
