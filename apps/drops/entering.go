package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
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

// mayTakePart refuses who may not, whatever the drop. Errors: ErrNotEligible with the rule.
func (s *service) mayTakePart(ctx context.Context, caller auth.Caller) error {
	if !caller.Has(auth.RoleUser) {
		return ErrNotEligible.With("rule", "shoppers")
	}
	is, err := suspended(ctx, s.store.db, caller.ID)
	if err == nil && is {
		err = ErrNotEligible.With("rule", "suspended")
	}
	return err
}

// enterAll enters all who come together. An entry's number is its place in the drop's log, given under the drop's lock: there
// are no gaps, and none is given twice.
func (s *service) enterAll(ctx context.Context, batch []entering) (answers []gather.Answer[entered], err error) {
	drops := map[uuid.UUID][]int{}
	for i, e := range batch {
		drops[e.drop] = append(drops[e.drop], i)
	}
	ids := make([]uuid.UUID, 0, len(drops))
	for id := range drops {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	err = pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		answers = make([]gather.Answer[entered], len(batch))
		for _, id := range ids {
			d, err := lockDrop(ctx, tx, id)
			if err != nil {
				return err
			}
			accounts := make([]uuid.UUID, 0, len(drops[id]))
			for _, i := range drops[id] {
				accounts = append(accounts, batch[i].account)
			}
			there, err := entriesOf(ctx, tx, id, accounts)
			if err != nil {
				return err
			}
			var fresh []Entry
			for _, i := range drops[id] {
				a := &answers[i]
				if e, ok := there[batch[i].account]; ok {
					a.Value.Entry = e
					if a.Err = a.Value.again(d, batch[i], s.now()); a.Err == nil {
						if err := setEntry(ctx, tx, a.Value.Entry); err != nil {
							return err
						}
					}
					continue
				}
				if a.Err = d.MayEnter(s.now()); a.Err == nil {
					a.Value = entered{d.enter(batch[i], s.now()), true}
					fresh = append(fresh, a.Value.Entry)
				}
			}
			if err := addEntries(ctx, tx, d, fresh); err != nil {
				return err
			}
		}
		return nil
	})
	return answers, err
}

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

// claiming is what an entry claims.
type claiming struct {
	drop     Drop
	entry    Entry
	sku      string
	quantity int64
}

func (c claiming) key() claimKey { return claimKey{c.entry.ID, c.sku} }

// readTicket reads a drop's ticket, which has to be the caller's, or ErrTicket.
func (s *service) readTicket(text, slug string, caller auth.Caller) (drop.Ticket, error) {
	for _, setting := range s.settings.Key {
		key := []byte(setting)
		t, err := drop.ReadTicket(text, drop.TicketKey(key, slug), slug, s.now())
		if err == nil && t.Subject == drop.Subject(key, slug, caller.ID.String()) {
			return t, nil
		}
	}
	return drop.Ticket{}, ErrTicket
}

// mayClaim checks a claim against its ticket, its entry and the drop. Errors: ErrTicket, ErrEntryNotFound, ErrNotEligible,
// ErrNotEntered, ErrNotCalled, those of MayClaim.
func (s *service) mayClaim(ctx context.Context, caller auth.Caller, d Drop, lots []Lot, ticket string, c *claiming) error {
	t, err := s.readTicket(ticket, d.Slug, caller)
	if err != nil {
		return err
	}
	if err := s.mayTakePart(ctx, caller); err != nil {
		return err
	}
	if err := d.MayClaim(); err != nil {
		return err
	}
	if c.entry, err = s.store.entry(ctx, d.ID, caller.ID); err != nil {
		return err
	}
	lot := slices.IndexFunc(lots, func(l Lot) bool { return l.SKU == c.sku })
	switch {
	case t.Entry != c.entry.ID.String():
		return ErrTicket
	case c.entry.Excluded != nil:
		return ErrNotEligible.With("rule", "excluded").With("reason", *c.entry.Excluded)
	case c.entry.LeftAt != nil, lot < 0, !slices.Contains(c.entry.SKUs, c.sku):
		return ErrNotEntered.With("skus", c.entry.SKUs)
	case c.quantity > c.entry.Quantity:
		return ErrLimitReached.With("limit", c.entry.Quantity)
	case c.entry.Position == nil || *c.entry.Position >= lots[lot].Called:
		return ErrNotCalled.With("called", lots[lot].Called)
	}
	return nil
}

// claimAll claims for all who come together, in order of their positions. What inventory is asked for is written down before,
// so that none of its holds is without a claim, whoever crashes.
func (s *service) claimAll(ctx context.Context, batch []claiming) ([]gather.Answer[claimed], error) {
	answers := make([]gather.Answer[claimed], len(batch))
	drops := map[uuid.UUID][]int{}
	for i, c := range batch {
		drops[c.drop.ID] = append(drops[c.drop.ID], i)
	}
	for id, members := range drops {
		drop.InTurn(members, func(i int) int64 { return *batch[i].entry.Position })
		if err := s.claimOf(ctx, id, batch, members, answers); err != nil {
			for _, i := range members {
				answers[i].Err = err
			}
		}
	}
	return answers, nil
}

// claimOf does the members of a batch that are of one drop.
func (s *service) claimOf(ctx context.Context, id uuid.UUID, batch []claiming, members []int, answers []gather.Answer[claimed]) error {
	keys := make([]claimKey, 0, len(members))
	for _, i := range members {
		keys = append(keys, batch[i].key())
	}
	var asked []toClaim
	err := s.store.changeClaims(ctx, id, keys, func(tx pgx.Tx, claims map[claimKey]*Claim) ([]claimKey, error) {
		first, err := firstStandby(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		asked = nil
		for _, i := range members {
			in := batch[i]
			c := claims[in.key()]
			if c == nil {
				c = &Claim{in.entry.ID, in.sku, drop.Claim{Position: *in.entry.Position}}
				claims[in.key()] = c
			}
			var ahead *drop.Rank
			if r, ok := first[in.sku]; ok {
				ahead = &r
			}
			quantity := in.quantity
			if in.drop.Preset == Draw { // nobody takes what the next one is drawn for
				ahead = &drop.Rank{Lapses: -1}
				if c.State != "" {
					quantity = min(quantity, c.Quantity)
				}
			}
			if c.Ask(quantity, s.now(), seconds(in.drop.HoldS), ahead) {
				asked = append(asked, toClaim{*c, in.entry.AccountID})
			}
		}
		return keys, nil
	})
	if err != nil {
		return err
	}
	refused, err := s.hold(ctx, id, asked)
	if err != nil {
		return err
	}
	all, err := s.store.claimsOf(ctx, pg.Column(keys, func(k claimKey) uuid.UUID { return k.entry })...)
	if err != nil {
		return err
	}
	now := make(map[claimKey]claimed, len(all))
	for _, c := range all {
		now[c.key()] = c
	}
	for _, i := range members {
		if answers[i].Err = refused[batch[i].key()]; answers[i].Err == nil {
			answers[i].Value = now[batch[i].key()]
		}
	}
	return nil
}

// hold asks inventory for what is claimed, and notes its answers. What it refuses is told by claim; an error is no answer at
// all: what was asked may be held, and is asked again.
func (s *service) hold(ctx context.Context, of uuid.UUID, asked []toClaim) (refused map[claimKey]error, err error) {
	refused = map[claimKey]error{}
	if len(asked) == 0 {
		return refused, nil
	}
	keys := pg.Column(asked, toClaim.key)
	answers, err := s.inventory.claim(ctx, of, pg.Column(asked, func(c toClaim) wantsHeld { return c.wants(*c.Until) }))
	if err != nil {
		return nil, err
	}
	return refused, s.store.changeClaims(ctx, of, keys, func(_ pgx.Tx, claims map[claimKey]*Claim) (changed []claimKey, err error) {
		for i, k := range keys {
			c, a := claims[k], answers[i]
			if c == nil {
				continue
			}
			refusal, known := refusalOf(a.Err)
			switch {
			case !known:
				refused[k] = a.Err
				continue
			case !c.Answered(asked[i].Claim.Claim, a.Value.has(), refusal, s.now()):
			case refusal == drop.NoLot:
				refused[k] = ErrDropEnded
			default:
				refused[k] = a.Err
			}
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
	return s.store.changeClaims(ctx, of, keys, func(_ pgx.Tx, claims map[claimKey]*Claim) (changed []claimKey, err error) {
		for i, k := range keys {
			c := claims[k]
			if c == nil || c.State != asked[i].State || !c.Until.Equal(*asked[i].Until) {
				continue // something has become of it since
			}
			c.Learn(has[i].has(), s.now())
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
