package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestNewCode(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		code, err := newCode()
		require.NoError(t, err)
		require.Regexp(t, codePattern, code)
		seen[code] = true
	}
	require.Greater(t, len(seen), 190, "codes are random")
}

func TestHashCode(t *testing.T) {
	t.Parallel()
	a, b, key := uuid.New(), uuid.New(), []byte("key")
	hash := hashCode(key, a, VerifyEmail, "", "123456")
	require.Len(t, hash, 32)
	require.Equal(t, hash, hashCode(key, a, VerifyEmail, "", "123456"))
	require.NotContains(t, string(hash), "123456")
	for name, other := range map[string][]byte{
		"code":    hashCode(key, a, VerifyEmail, "", "123457"),
		"account": hashCode(key, b, VerifyEmail, "", "123456"),
		"purpose": hashCode(key, a, PasswordReset, "", "123456"),
		"key":     hashCode([]byte("other"), a, VerifyEmail, "", "123456"),
		"address": hashCode(key, a, VerifyEmail, "ann@example.test", "123456"),
	} {
		require.NotEqual(t, hash, other, name)
	}
}

func TestPurpose(t *testing.T) {
	t.Parallel()
	require.Equal(t, 30*time.Minute, VerifyEmail.lifetime())
	require.Equal(t, 15*time.Minute, PasswordReset.lifetime())
	require.Equal(t, []string{"pending"}, VerifyEmail.needs())
	require.Equal(t, []string{"active", "pending"}, PasswordReset.needs())
}

func TestWait(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) *time.Time { at := t0.Add(-d); return &at }
	for _, c := range []struct {
		name   string
		recent Recent
		want   time.Duration
	}{
		{"none", Recent{}, 0},
		{"below the limit", Recent{4, ago(time.Minute)}, 0},
		{"at the limit", Recent{5, ago(time.Minute)}, 14 * time.Minute},
		{"all just now", Recent{5, ago(0)}, 15 * time.Minute},
		{"about to leave the window", Recent{5, ago(15*time.Minute - time.Millisecond)}, time.Second},
	} {
		require.Equal(t, c.want, c.recent.wait(5, 15*time.Minute, t0), c.name)
	}
}
