package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestAccountStatus(t *testing.T) {
	t.Parallel()
	sub := uuid.New()
	fresh := func(t *testing.T) Account {
		a, err := NewAccount("ann@example.test", "Ann", "Lee", t0)
		require.NoError(t, err)
		return a
	}
	pending := func(t *testing.T) Account {
		a := fresh(t)
		require.True(t, a.Open(sub, a.LeaseUntil, t0))
		return a
	}
	verified := func(t *testing.T) Account {
		a := pending(t)
		require.True(t, a.Verify(t0))
		return a
	}
	active := func(t *testing.T) Account {
		a := verified(t)
		require.True(t, a.Activate(t0))
		return a
	}
	suspended := func(t *testing.T) Account {
		a := active(t)
		begun, err := a.Suspend("spam", t0)
		require.NoError(t, err)
		require.True(t, begun)
		return a
	}
	ending := func(t *testing.T) Account {
		a := pending(t)
		require.NoError(t, a.End(t0))
		require.ErrorIs(t, a.End(t0.Add(lease-1)), errAtWork, "another ends it")
		return a
	}
	states := []struct {
		name                   string
		make                   func(*testing.T) Account
		open, verify, activate bool
		taken                  bool // by a registration after the lease
		after                  [3]Status
		busy, ends             error // what another registration hears while the lease runs, and what End says after it
	}{
		{"creating", fresh, true, false, false, false, [3]Status{Pending, Creating, Creating}, errAtWork, ErrEmailTaken},
		{"pending", pending, false, true, false, true, [3]Status{Pending, Pending, Pending}, errAtWork, nil},
		{"verified", verified, false, true, true, true, [3]Status{Pending, Pending, Active}, ErrEmailTaken, ErrEmailTaken},
		{"active", active, false, false, false, true, [3]Status{Active, Active, Active}, ErrEmailTaken, ErrEmailTaken},
		{"suspended", suspended, false, false, false, true, [3]Status{Suspended, Suspended, Suspended}, ErrEmailTaken, ErrEmailTaken},
		{"ending", ending, false, false, false, true, [3]Status{Ending, Ending, Ending}, errAtWork, nil},
	}
	for _, s := range states {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			a := s.make(t)
			require.Equal(t, s.open, a.Open(sub, a.LeaseUntil, t0))
			require.Equal(t, s.after[0], a.Status)
			a = s.make(t)
			require.Equal(t, s.verify, a.Verify(t0))
			require.Equal(t, s.after[1], a.Status)
			a = s.make(t)
			require.Equal(t, s.activate, a.Activate(t0))
			require.Equal(t, s.after[2], a.Status)
			a = s.make(t)
			require.ErrorIs(t, a.TakeOver("Bo", "Li", nil, t0.Add(lease-1)), s.busy, "the lease runs")
			a = s.make(t)
			require.Equal(t, s.taken, a.TakeOver("Bo", "Li", nil, t0.Add(lease)) != nil)
			a = s.make(t)
			require.ErrorIs(t, a.End(t0.Add(lease)), s.ends)
		})
	}

	t.Run("the first verification counts", func(t *testing.T) {
		t.Parallel()
		a := verified(t)
		require.True(t, a.Verify(t0.Add(time.Hour)))
		require.Equal(t, t0, *a.VerifiedAt)
	})
	t.Run("open under another's lease", func(t *testing.T) {
		t.Parallel()
		a := fresh(t)
		held := a.LeaseUntil
		require.NoError(t, a.TakeOver("Bo", "Li", nil, t0.Add(lease)))
		require.False(t, a.Open(sub, held, t0.Add(lease)))
		require.Equal(t, Creating, a.Status)
		require.Equal(t, "Bo", a.FirstName)
		require.Equal(t, t0, a.CreatedAt, "a user made by the first try is still known by its time")
	})
	t.Run("a file takes over what a file has begun", func(t *testing.T) {
		t.Parallel()
		a := fresh(t)
		require.ErrorIs(t, a.TakeOver("Bo", "Li", &t0, t0.Add(lease)), errAtWork, "somebody has registered it")
		a.ImportedAt = &t0
		require.NoError(t, a.TakeOver("Bo", "Li", &t0, t0.Add(lease)))
		require.Equal(t, &t0, a.ImportedAt)
		require.NoError(t, a.TakeOver("Bo", "Li", nil, t0.Add(2*lease)))
		require.Nil(t, a.ImportedAt, "who registers has a password")
	})
	t.Run("whose user", func(t *testing.T) {
		t.Parallel()
		a := fresh(t)
		require.True(t, a.Made(t0))
		require.True(t, a.Made(t0.Add(time.Hour)))
		require.True(t, a.Made(t0.Add(-clockSkew)))
		require.False(t, a.Made(t0.Add(-clockSkew-time.Second)))
	})
	t.Run("when to forget", func(t *testing.T) {
		t.Parallel()
		a := fresh(t)
		require.False(t, a.Forgettable(t0.Add(forgetAfter-1)))
		require.True(t, a.Forgettable(t0.Add(forgetAfter)))
		a = pending(t)
		require.False(t, a.Forgettable(t0.Add(forgetAfter)))
	})
}

func TestParseEmail(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ann@example.test":                        "ann@example.test",
		"  Ann@Example.TEST ":                     "ann@example.test",
		"o'brien+shop@mail.example.co.uk":         "o'brien+shop@mail.example.co.uk",
		"ANN+Shop@EXAMPLE.test":                   "ann+shop@example.test",
		"a.b-c_d@x1-y2.example":                   "a.b-c_d@x1-y2.example",
		"ann@xn--bcher-kva.example":               "ann@xn--bcher-kva.example",
		strings.Repeat("a", 64) + "@example.test": strings.Repeat("a", 64) + "@example.test",
		"":                   "",
		"ann":                "",
		"ann@":               "",
		"@example.test":      "",
		"ann@localhost":      "",
		"ann@example.123":    "",
		"ann@@example.test":  "",
		"ann@example..test":  "",
		".ann@example.test":  "",
		"ann.@example.test":  "",
		"an..n@example.test": "",
		"ann@-example.test":  "",
		"an n@example.test":  "",
		"ann@exam ple.test":  "",
		"ann@example.test\nBcc: all@example.test":        "",
		"Ann <ann@example.test>":                         "",
		"<script>@example.test":                          "",
		`"ann"@example.test`:                             "",
		"ann@[192.0.2.1]":                                "",
		"änn@example.test":                               "",
		"ann@exämple.test":                               "",
		"\u212Aate@example.test":                         "kate@example.test", // the Kelvin sign is K, composed
		"\u0430nn@example.test":                          "",                  // in Cyrillic: no twin of an account
		"ann@ex\u0430mple.test":                          "",
		"\uff41nn@example.test":                          "", // wide letters
		"ann\uff20example.test":                          "",
		"a\u200bnn@example.test":                         "",                 // of no width
		"\u0131van@example.test":                         "",                 // without its dot
		"re\u0301ne@example.test":                        "",                 // not composed; nor
		"r\u00e9ne@example.test":                         "",                 // composed
		"\ufeffann@example.test\u00a0":                   "ann@example.test", // pasted
		"x' OR '1'='1@example.test":                      "",
		strings.Repeat("a", 65) + "@example.test":        "",
		"a@" + strings.Repeat("abcdefgh.", 30) + "test":  "",
		strings.Repeat("a", 10_000) + "@example.test":    "",
		"a@" + strings.Repeat("a", 64) + ".example.test": "",
	} {
		got, err := ParseEmail(in)
		require.Equal(t, want, got, "%q", in)
		require.Equal(t, want == "", err != nil, "%q", in)
		if err != nil {
			require.ErrorIs(t, err, problem.ErrInvalid)
		}
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for in, good := range map[string]bool{
		"Ann": true, "O'Hara": true, "Jean-Luc": true, "von der Höhe": true, "李": true, "Lee, Jr.": true,
		"<b>Ann</b>": false, "A&B": false, "x'); DROP TABLE accounts; --": false, "{{.}}": false, "Ann §": false,
	} {
		require.Equal(t, good, CheckName("body.first_name", in) == nil, "%q", in)
	}
}

func TestCheckPassword(t *testing.T) {
	t.Parallel()
	for secret, good := range map[string]bool{
		"correct horse 1": true, "another password": true, "a-long-password": true, "x9$kQ2!mZpLw": true,
		"日本語のパスワードです": true, "Secret123!": true, // on no list
		strings.Repeat("a few words ", 10): true,
		"1234567890":                       false, "qwertyuiop": false, "password123": false, "Password123": false, "aaaaaaaaaa": false,
		"ann@example.test": false, "ANN@example.test": false, "abcdefghij": false, "1q2w3e4r5t": false,
		"Featherstonehaugh": false, // the owner's name
	} {
		err := CheckPassword("body.password", secret, "ann@example.test", "Ann", "Featherstonehaugh")
		require.Equal(t, good, err == nil, "%q", secret)
	}
}

func TestUserAgent(t *testing.T) {
	t.Parallel()
	require.Equal(t, "curl/8.0", userAgent("curl/8.0"))
	require.Equal(t, "ab", userAgent("a\x00\r\n\x1bb"))
	require.Len(t, []rune(userAgent(strings.Repeat("é", 10_000))), 255)
	require.Equal(t, "ab", userAgent("a\xffb"))
}

func TestSuspension(t *testing.T) {
	t.Parallel()
	account := func(status Status, due RoleDue) Account {
		a := Account{ID: uuid.New(), Status: status, RoleDue: due, LeaseUntil: t0.Add(lease)}
		if status == Suspended {
			at := t0.Add(-time.Hour)
			a.SuspendedAt, a.SuspendReason = &at, "before"
		}
		return a
	}
	const changed, same = true, false
	for _, c := range []struct {
		name             string
		from             Account
		suspend, readmit error // while the lease runs
		suspends         bool
		readmits         bool
		late             bool // whether the lease is over
	}{
		{"creating", account(Creating, NothingDue), ErrNotSuspendable, ErrNotSuspended, same, same, false},
		{"pending", account(Pending, NothingDue), ErrNotSuspendable, ErrNotSuspended, same, same, false},
		{"active", account(Active, NothingDue), nil, nil, changed, same, false},
		{"suspended", account(Suspended, NothingDue), nil, nil, same, changed, false},
		{"being suspended", account(Suspended, TakeRoles), nil, problem.ErrUnavailable, same, same, false},
		{"being suspended, left", account(Suspended, TakeRoles), nil, nil, same, changed, true},
		{"being activated", account(Suspended, GiveRole), problem.ErrUnavailable, problem.ErrUnavailable, same, same, false},
		{"being activated, left", account(Suspended, GiveRole), nil, nil, changed, changed, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := t0
			if c.late {
				now = t0.Add(lease)
			}
			a := c.from
			begun, err := a.Suspend("spam", now)
			require.ErrorIs(t, err, c.suspend)
			require.Equal(t, c.suspends, begun)
			if begun {
				require.Equal(t, []any{Suspended, TakeRoles, "spam", now.Add(lease)}, []any{a.Status, a.RoleDue, a.SuspendReason, a.LeaseUntil})
				require.Equal(t, now, *a.SessionsEndAt)
				require.False(t, a.RolesTaken(t0), "another's lease")
				require.True(t, a.RolesTaken(a.LeaseUntil))
				require.False(t, a.RolesTaken(a.LeaseUntil), "once")
			} else {
				require.Equal(t, c.from, a)
			}
			a = c.from
			begun, err = a.Readmit(now)
			require.ErrorIs(t, err, c.readmit)
			require.Equal(t, c.readmits, begun)
			if begun {
				require.Equal(t, []any{Suspended, GiveRole, now.Add(lease)}, []any{a.Status, a.RoleDue, a.LeaseUntil}, "not before it has its role")
				require.False(t, a.RoleGiven(t0, now), "another's lease")
				require.True(t, a.RoleGiven(a.LeaseUntil, now))
				require.Equal(t, []any{Active, NothingDue, "", now}, []any{a.Status, a.RoleDue, a.SuspendReason, *a.FailuresFrom})
				require.Nil(t, a.SuspendedAt)
				require.False(t, a.RoleGiven(a.LeaseUntil, now), "once")
			} else {
				require.Equal(t, c.from, a)
			}
		})
	}
}
