package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUntil(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	kept := backupOf{At: noon, Archive: "20261129T100000Z"}
	for _, tt := range []struct {
		name, text string
		of         backupOf
		at         time.Time
		err        string
	}{
		{name: "a moment since", text: "2026-11-29T14:30:00+01:00", of: kept, at: noon.Add(90 * time.Minute)},
		{name: "the last", text: "latest", of: kept},
		{
			name: "before the backup", text: "2026-11-29T11:59:59Z", of: kept,
			err: "UNTIL is before the backup was whole, 2026-11-29T12:00:00Z: take an earlier one",
		},
		{name: "no time", text: "noon", of: kept, err: `UNTIL is latest or a time such as 2026-11-29T12:00:00Z, not "noon"`},
		{
			name: "no archive", text: "latest", of: backupOf{At: noon},
			err: "UNTIL needs a backup that was made while there was a WAL_ARCHIVE",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			until, err := tt.of.until(tt.text, "/srv/wal")
			if tt.err != "" {
				require.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "/srv/wal/20261129T100000Z", until.Archive)
			require.True(t, tt.at.Equal(until.At))
		})
	}
	until, err := kept.until("", "/srv/wal")
	require.NoError(t, err)
	require.Nil(t, until)
}
