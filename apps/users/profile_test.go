package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
)

func TestCleanPhone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"+44 20 7946 0000", "+442079460000"},
		{"+1 (202) 555-0143", "+12025550143"},
		{"", ""},
		{"   ", ""},
		{"020 7946 0000", "!"},
		{"+0123456789", "!"},
		{"+44123", "!"},
		{"+1234567890123456", "!"},
		{"+44 20 7946 000x", "!"},
	} {
		got, err := cleanPhone(c.in)
		switch c.want {
		case "!":
			require.ErrorIs(t, err, problem.ErrInvalid, c.in)
		case "":
			require.NoError(t, err)
			require.Nil(t, got)
		default:
			require.NoError(t, err)
			require.Equal(t, c.want, *got)
		}
	}
}

func TestCleanAddress(t *testing.T) {
	t.Parallel()
	good := AddressFields{Name: " Ada ", Line1: "1 High St", City: "London", PostalCode: "N1 9GU", Country: "GB"}
	got, err := good.clean()
	require.NoError(t, err)
	require.Equal(t, "Ada", got.Name)

	blank := good
	blank.City = "  "
	_, err = blank.clean()
	require.ErrorIs(t, err, problem.ErrInvalid)

	lines := good
	lines.Line2 = "a\r\nBcc: x@example.test"
	_, err = lines.clean()
	require.ErrorIs(t, err, problem.ErrInvalid)

	_, err = AddressFields{Name: strings.Repeat(" ", 3)}.clean()
	require.ErrorIs(t, err, problem.ErrInvalid)
}
