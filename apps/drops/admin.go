package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/skus"
)

func (s *service) adminRoutes(api huma.API) {
	const one = "/api/v1/admin/drops/{id}"
	known := rest.Problems(ErrDropNotFound, ErrDropState)
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/drops", "List drops, drafts too", rest.Admin), s.listAll)
	rest.Handle(api, rest.Op("POST", "/api/v1/admin/drops", "Make a drop", rest.Admin, rest.Status(http.StatusCreated),
		rest.Problems(ErrSlugTaken)), s.postDrop)
	rest.Handle(api, rest.Op("GET", one, "Watch a drop", rest.Admin, rest.Problems(ErrDropNotFound)), s.watch)
	rest.Handle(api, rest.Op("PUT", one, "Change a draft", rest.Admin, known), s.putDrop)
	rest.Handle(api, rest.Op("POST", one+"/schedule", "Set the units aside, and fix the rules", rest.Admin,
		rest.Describe("Rules do not change from then on. When inventory does not answer, the drop stays a draft, and it is asked again."),
		known, rest.Problems(ErrLots)), s.schedule)
	rest.Handle(api, rest.Op("PUT", one+"/pause", "Pause: nobody is called, and nothing claimed", rest.Admin, known), s.pause)
	rest.Handle(api, rest.Op("DELETE", one+"/pause", "Go on after a pause", rest.Admin, known), s.resume)
	rest.Handle(api, rest.Op("PUT", one+"/rate", "Say how many are called in a second at most", rest.Admin, known), s.putRate)
	rest.Handle(api, rest.Op("PUT", one+"/units/{sku}", "Add units to a lot", rest.Admin, known, rest.Problems(ErrLots, ErrUnitsChanged),
		rest.Describe("When inventory does not answer, they are in asked, and it is asked again.")), s.putUnits)
	rest.Handle(api, rest.Op("PUT", one+"/message", "Tell all who wait", rest.Admin, known), s.putMessage)
	rest.Handle(api, rest.Op("POST", one+"/end", "End a drop before its time", rest.Admin, known), s.postEnd)
	rest.Handle(api, rest.Op("PUT", one+"/exclusions/{idx}", "Shut an entry out", rest.Admin, known,
		rest.Problems(ErrEntryNotFound)), s.putExclusion)
}

// IDPath names a drop to staff.
type IDPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

// DropInput is what staff say of a drop.
type DropInput struct {
	Title      string      `json:"title" text:"line" minLength:"1" maxLength:"200"`
	Preset     Preset      `json:"preset" enum:"queue,draw,first-come"`
	Zone       string      `json:"zone" maxLength:"64" doc:"IANA time zone in which the times are told: Europe/London"`
	PrequeueAt *time.Time  `json:"prequeue_at,omitempty" doc:"When entries begin; not for first-come"`
	OpensAt    time.Time   `json:"opens_at" doc:"With the zone's offset at that time, or in UTC"`
	ClosesAt   time.Time   `json:"closes_at"`
	GraceS     int64       `json:"grace_s,omitempty" minimum:"10" maximum:"604800" doc:"45 without it; 86400 in a draw"`
	HoldS      int64       `json:"hold_s,omitempty" minimum:"60" maximum:"86400" doc:"600 without it"`
	StandbyS   int64       `json:"standby_s,omitempty" minimum:"20" maximum:"86400" doc:"60 without it; 86400 in a draw"`
	CallsPerS  int64       `json:"calls_per_s,omitempty" minimum:"1" maximum:"1000000" doc:"How many are called in a second, at most: 100"`
	Notify     *bool       `json:"notify,omitempty" doc:"Whether the called get a mail; in a draw they do unless it says no"`
	TellEnd    *bool       `json:"tell_end,omitempty" doc:"Whether who got nothing gets one when it is over; in a draw unless it says no"`
	Beacon     string      `json:"beacon,omitempty" enum:"drand,commit" doc:"commit without it"`
	Lots       []LotWanted `json:"lots" minItems:"1" maxItems:"100" nullable:"false"`
}

// apply gives a drop what staff say. Errors: ErrInvalid.
func (d *Drop) apply(in DropInput) error {
	zone, err := time.LoadLocation(in.Zone)
	if err != nil || in.Zone == "" || in.Zone == "Local" {
		return problem.InvalidField("body.zone", problem.CodeNotFound, "is no time zone")
	}
	for field, at := range map[string]*time.Time{"prequeue_at": in.PrequeueAt, "opens_at": &in.OpensAt, "closes_at": &in.ClosesAt} {
		if at != nil && !told(*at, zone) {
			return problem.InvalidField("body."+field, problem.CodeNotAllowed, "has another offset than the zone has at that time")
		}
	}
	switch {
	case in.Preset == FirstCome && in.PrequeueAt != nil:
		return problem.InvalidField("body.prequeue_at", problem.CodeNotAllowed, "nobody waits before the opening of this")
	case in.Preset != FirstCome && in.PrequeueAt == nil:
		return problem.InvalidField("body.prequeue_at", problem.CodeRequired, "is missing")
	case in.PrequeueAt != nil && !in.PrequeueAt.Before(in.OpensAt):
		return problem.InvalidField("body.opens_at", problem.CodeTooSmall, "is not after prequeue_at")
	case !in.OpensAt.Before(in.ClosesAt):
		return problem.InvalidField("body.closes_at", problem.CodeTooSmall, "is not after opens_at")
	}
	seen := map[string]bool{}
	for i, l := range in.Lots {
		if seen[l.SKU] {
			return problem.InvalidField(fmt.Sprintf("body.lots[%d].sku", i), problem.CodeDuplicate, "is there twice")
		}
		seen[l.SKU] = true
	}
	d.Title, d.Preset, d.Zone, d.OpensAt, d.ClosesAt = in.Title, in.Preset, in.Zone, kept(in.OpensAt), kept(in.ClosesAt)
	d.PrequeueAt = nil
	if in.PrequeueAt != nil {
		at := kept(*in.PrequeueAt)
		d.PrequeueAt = &at
	}
	d.GraceS, d.HoldS, d.StandbyS, d.CallsPerS, d.Notify = 45, 600, 60, 100, in.Preset == Draw
	d.TellEnd = d.Notify
	if in.Preset == Draw {
		d.GraceS, d.StandbyS = 24*3600, 24*3600
	}
	for to, v := range map[*int64]int64{&d.GraceS: in.GraceS, &d.HoldS: in.HoldS, &d.StandbyS: in.StandbyS, &d.CallsPerS: in.CallsPerS} {
		if v > 0 {
			*to = v
		}
	}
	if in.Preset == Draw && d.ClosesAt.Before(d.OpensAt.Add(seconds(d.GraceS))) {
		return problem.InvalidField("body.closes_at", problem.CodeTooSmall, "is before the time of those who are drawn first is over")
	}
	if in.Notify != nil {
		d.Notify = *in.Notify
	}
	if in.TellEnd != nil {
		d.TellEnd = *in.TellEnd
	}
	if d.Beacon = in.Beacon; d.Beacon == "" || in.Preset == FirstCome { // where nothing is drawn
		d.Beacon = proof.BeaconCommit
	}
	return nil
}

// told tells whether a time is written as clocks of a zone show it, or in UTC: an offset that is an hour off on the day when
// clocks change is a drop that opens an hour off.
func told(at time.Time, zone *time.Location) bool {
	_, given := at.Zone()
	_, has := at.In(zone).Zone()
	return given == 0 && at.Location() == time.UTC || given == has
}

// kept is a time as it is kept.
func kept(at time.Time) time.Time { return at.UTC().Truncate(time.Millisecond) }

// Watched is a drop as staff see it.
type Watched struct {
	DropView
	CallsPerS int64   `json:"calls_per_s"`
	SetAside  string  `json:"set_aside" enum:"none,asked,refused,open,closing,closed" doc:"How it stands with inventory's lots"`
	Refused   string  `json:"refused" doc:"Why the units could not be set aside: a problem of inventory"`
	Entered   int64   `json:"entered"`
	Watch     []Watch `json:"watch" nullable:"false"`

	BeaconSilent bool `json:"beacon_silent" doc:"The beacon that is to decide its order does not answer: it would not open now"`
}

// Watch is how a lot goes.
type Watch struct {
	SKU     string  `json:"sku"`
	Asked   int64   `json:"asked" doc:"Units in all that inventory is asked for; 0: none but those that it has"`
	Waiting int64   `json:"waiting" doc:"Who entered for it and is not called yet; some of them may have left"`
	Called  int64   `json:"called"`
	Free    int64   `json:"free"`
	Held    int64   `json:"held"`
	Sold    int64   `json:"sold"`
	Came    int64   `json:"came" doc:"Of those whose time is over"`
	Stayed  int64   `json:"stayed"`
	Rate    float64 `json:"show_rate" doc:"Which part of the called is expected to come"`
	Standby int64   `json:"standby" doc:"Who stands by for what comes back"`
	Lapsed  int64   `json:"lapsed" doc:"Who has let a unit go"`
	Refused int64   `json:"refused" doc:"Whose claim was for more than they may have"`
}

func (s *service) watched(ctx context.Context, id uuid.UUID) (*body[Watched], error) {
	d, lots, err := s.store.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	acts, err := s.store.acts(ctx, id)
	if err != nil {
		return nil, err
	}
	found, err := s.store.crowds(ctx, id)
	if err != nil {
		return nil, err
	}
	crowds := map[string]crowd{}
	for _, c := range found {
		crowds[c.SKU] = c
	}
	w := Watched{
		DropView: view(d, lots, acts), CallsPerS: d.CallsPerS, SetAside: d.Lots, Refused: d.Refused, Entered: d.Entered,
		BeaconSilent: d.Awaits() && s.heard.silent(ctx, s.beacon, s.now()),
	}
	for _, l := range lots {
		c := crowds[l.SKU]
		rate := drop.Showing{Came: int(l.Came), Stayed: int(l.Stayed)}.Rate()
		one := Watch{
			SKU: l.SKU, Waiting: c.Waiting, Called: l.Called, Free: l.Free, Held: l.Held, Sold: l.Sold,
			Came: l.Came, Stayed: l.Stayed, Rate: rate, Standby: c.Standby, Lapsed: c.Lapsed, Refused: c.Refused,
		}
		if l.Adding != nil {
			one.Asked = *l.Adding
		}
		w.Watch = append(w.Watch, one)
	}
	return &body[Watched]{w}, nil
}

func (s *service) listAll(ctx context.Context, in *struct{ rest.Page }) (*body[rest.List[DropView]], error) {
	out, err := s.views(ctx, true, in.Page)
	return &body[rest.List[DropView]]{out}, err
}

func (s *service) watch(ctx context.Context, in *IDPath) (*body[Watched], error) {
	return s.watched(ctx, in.ID)
}

func (s *service) postDrop(ctx context.Context, in *struct {
	Body struct {
		Slug string `json:"slug" minLength:"1" maxLength:"100" pattern:"^[a-z0-9]+(-[a-z0-9]+)*$" doc:"Its name in addresses, for ever"`
		DropInput
	}
}) (*body[Watched], error) {
	d := Drop{ID: uuid.Must(uuid.NewV7()), Slug: in.Body.Slug, State: Draft, CreatedAt: s.now()}
	if err := d.apply(in.Body.DropInput); err != nil {
		return nil, err
	}
	if err := s.store.create(ctx, d, in.Body.Lots, auth.Must(ctx).ID); err != nil {
		return nil, err
	}
	return s.watched(ctx, d.ID)
}

// act changes a drop and notes what was done.
func (s *service) act(
	ctx context.Context, id uuid.UUID, act, detail string, fn func(tx pgx.Tx, d *Drop) error,
) (*body[Watched], error) {
	by := auth.Must(ctx).ID
	_, err := s.store.change(ctx, id, func(tx pgx.Tx, d *Drop) error {
		if err := fn(tx, d); err != nil {
			return err
		}
		return noteAct(ctx, tx, id, act, detail, by, s.now())
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return s.watched(ctx, id)
}

// errNothing ends an act that changes nothing: it was done before.
var errNothing = errors.New("done before")

func (s *service) putDrop(ctx context.Context, in *struct {
	IDPath
	Body DropInput
}) (*body[Watched], error) {
	return s.act(ctx, in.ID, "changed", "", func(tx pgx.Tx, d *Drop) error {
		if d.State != Draft || d.Lots == "asked" {
			return ErrDropState.With("state", d.State)
		}
		if err := d.apply(in.Body); err != nil {
			return err
		}
		return replaceLots(ctx, tx, d.ID, in.Body.Lots)
	})
}

func (s *service) schedule(ctx context.Context, in *IDPath) (*body[Watched], error) {
	out, err := s.act(ctx, in.ID, "scheduled", "", func(tx pgx.Tx, d *Drop) error {
		if d.State == Scheduled || d.Lots == "asked" {
			return errNothing
		}
		if err := d.Schedulable(s.now()); err != nil {
			return err
		}
		lots, err := lotsOf(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		key := s.settings.HeadKey.Signs()
		if err := d.Publish(lots, proof.HeadKey(key).Public().(ed25519.PublicKey)); err != nil {
			return err
		}
		d.Nonce = make([]byte, 32)
		_, _ = rand.Read(d.Nonce) // it never fails
		commitment := drop.Commitment(d.Slug, []byte(*d.Rules), drop.SecretOf(key, d.Nonce, d.Slug))
		d.Commitment, d.Lots = commitment[:], "asked"
		return nil
	})
	if err != nil || out.Body.SetAside != "asked" {
		return out, err
	}
	var refused *problem.Error
	if _, err := s.setAside(ctx, in.ID); errors.As(err, &refused) && !refused.Ours() {
		return nil, err
	}
	return s.watched(ctx, in.ID)
}

func (s *service) pause(ctx context.Context, in *IDPath) (*body[Watched], error) {
	return s.act(ctx, in.ID, "paused", "", func(_ pgx.Tx, d *Drop) error {
		switch {
		case d.State == Paused:
			return errNothing
		case !d.State.Gives():
			return ErrDropState.With("state", d.State)
		}
		now := s.now()
		d.State, d.PausedAt = Paused, &now
		return nil
	})
}

func (s *service) resume(ctx context.Context, in *IDPath) (*body[Watched], error) {
	return s.act(ctx, in.ID, "resumed", "", func(tx pgx.Tx, d *Drop) error {
		switch {
		case d.State.Gives():
			return errNothing
		case d.State != Paused:
			return ErrDropState.With("state", d.State)
		}
		since := *d.PausedAt
		d.State, d.PausedAt = Open, nil
		return giveTimeBack(ctx, tx, *d, since, s.now())
	})
}

func (s *service) putRate(ctx context.Context, in *struct {
	IDPath
	Body struct {
		CallsPerS int64 `json:"calls_per_s" minimum:"1" maximum:"1000000"`
	}
}) (*body[Watched], error) {
	return s.act(ctx, in.ID, "rate", fmt.Sprintf("%d a second", in.Body.CallsPerS), func(_ pgx.Tx, d *Drop) error {
		if d.State.Over() {
			return ErrDropState.With("state", d.State)
		}
		d.CallsPerS = in.Body.CallsPerS
		return nil
	})
}

func (s *service) putUnits(ctx context.Context, in *struct {
	IDPath
	SKU  skus.InPath `path:"sku"`
	Body struct {
		Units    int64 `json:"units" minimum:"1" maximum:"1000000000" doc:"In all: more than before"`
		Expected int64 `json:"expected,omitempty" minimum:"1" maximum:"1000000000" doc:"In all, as the caller saw them; 409 for others"`
	}
}) (*body[Watched], error) {
	sku, wants := in.SKU.String(), in.Body.Units
	if _, err := s.act(ctx, in.ID, "units-asked", inAll(sku, wants), func(tx pgx.Tx, d *Drop) error {
		lots, err := lotsOf(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(lots, func(l Lot) bool { return l.SKU == sku })
		switch {
		case at < 0:
			return problem.InvalidField("path.sku", problem.CodeNotFound, "is not in this drop")
		case d.State == Draft || d.State.Over():
			return ErrDropState.With("state", d.State)
		}
		has := lots[at].InAll()
		switch {
		case in.Body.Expected > 0 && in.Body.Expected != has:
			return ErrUnitsChanged.With("units", has)
		case wants < has:
			return ErrLots.With("reason", "lot-differs").With("units", has)
		case wants == has:
			return errNothing
		}
		return setAdding(ctx, tx, d.ID, sku, &wants)
	}); err != nil {
		return nil, err
	}
	var refused *problem.Error
	if err := s.addUnits(ctx, in.ID, sku); errors.As(err, &refused) && !refused.Ours() {
		return nil, ErrLots.With("reason", refused.Slug()) // else it is asked again
	}
	return s.watched(ctx, in.ID)
}

func inAll(sku string, units int64) string { return fmt.Sprintf("%s: %d in all", sku, units) }

func (s *service) putMessage(ctx context.Context, in *struct {
	IDPath
	Body struct {
		Message string `json:"message" maxLength:"500" doc:"Empty: none"`
	}
}) (*body[Watched], error) {
	return s.act(ctx, in.ID, "message", in.Body.Message, func(_ pgx.Tx, d *Drop) error {
		d.Message = strings.TrimSpace(in.Body.Message)
		return nil
	})
}

func (s *service) postEnd(ctx context.Context, in *IDPath) (*body[Watched], error) {
	out, err := s.act(ctx, in.ID, "ended", "", func(tx pgx.Tx, d *Drop) error {
		switch {
		case d.State.Over():
			return errNothing
		case d.State == Draft:
			return ErrDropState.With("state", d.State)
		}
		lots, err := lotsOf(ctx, tx, d.ID)
		if err != nil {
			return err
		}
		return s.end(ctx, tx, d, skusOf(lots))
	})
	if err != nil || out.Body.SetAside != "closing" || s.giveBack(ctx, in.ID) != nil { // then it is asked again
		return out, err
	}
	return s.watched(ctx, in.ID)
}

func (s *service) putExclusion(ctx context.Context, in *struct {
	IDPath
	Idx  int64 `path:"idx" minimum:"0" doc:"The entry's place in the log"`
	Body struct {
		Reason string `json:"reason" text:"line" minLength:"1" maxLength:"200" doc:"Everybody can read it"`
	}
}) (*body[Watched], error) {
	detail := fmt.Sprintf("entry number %d: %s", in.Idx+1, in.Body.Reason)
	return s.act(ctx, in.ID, "excluded", detail, func(tx pgx.Tx, d *Drop) error {
		return s.store.exclude(ctx, tx, d.ID, in.Idx, in.Body.Reason)
	})
}
