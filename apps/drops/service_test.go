package main

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

func setup(t *testing.T) (*serve.Runtime, *pgxpool.Pool) {
	t.Helper()
	rt, db := servetest.NewTest(t, "drops", migrations)
	_, err := newService(rt, db, servetest.Settings[settings](t))
	require.NoError(t, err)
	return rt, db
}

func TestEntries(t *testing.T) {
	t.Parallel()
	rt, db := setup(t)
	mine, theirs := uuid.New(), uuid.New()
	for _, account := range []uuid.UUID{mine, theirs} {
		_, err := db.Exec(t.Context(), `INSERT INTO entries (id, account_id, note, created_at) VALUES ($1, $2, 'a note', $3)`,
			uuid.New(), account, rt.Now())
		require.NoError(t, err)
	}

	var list struct{ Items []Entry }
	res := servetest.Do(t, rt, "GET", "/api/v1/drops", servetest.Token(t, mine, "ann@example.test", auth.RoleUser), nil)
	require.Equal(t, 200, res.Status, "%s", res.Body)
	res.JSON(t, &list)
	require.Len(t, list.Items, 1, "nobody else's")
	require.Equal(t, "a note", list.Items[0].Note)

	require.Equal(t, 401, servetest.Do(t, rt, "GET", "/api/v1/drops", "", nil).Status)
}
