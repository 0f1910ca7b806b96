package settings

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type Shop struct {
	Currency string `env:"SHOP_CURRENCY" envDefault:"GBP" doc:"ISO 4217"`
}

type sample struct {
	Shop
	Key    string        `env:"HASH_KEY" secret:"16" doc:"Of hashes"`
	Public URL           `env:"PUBLIC_URL" envDefault:"http://localhost:8000" doc:"Where browsers find the shop"`
	At     string        `env:"HOLD_AT" envDefault:"cart" enum:"cart,checkout" doc:"Where"`
	For    time.Duration `env:"HOLD_TTL" envDefault:"15m" doc:"How long"`
	Many   int           `env:"MANY" envDefault:"16" doc:"How many"`
	Demo   bool          `env:"DEMO" envDefault:"false" doc:"Whether"`
	Hosts  []string      `env:"HOSTS" envDefault:"" doc:"Which"`
	Zone   Zone          `env:"ZONE" envDefault:"UTC" doc:"Where"`
	Keys   Keys          `env:"KEYS" envDefault:"" secret:"16" doc:"Of something"`
}

const key = "0123456789abcdef"

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := Read[sample](map[string]string{"HASH_KEY": key, "SHOP_CURRENCY": ""}, "")
	require.NoError(t, err)
	require.Equal(t, sample{
		Shop: Shop{"GBP"}, Key: key, Public: "http://localhost:8000", At: "cart", For: 15 * time.Minute, Many: 16, Zone: "UTC",
	}, got)

	got, err = Read[sample](map[string]string{
		"HASH_KEY": key, "SHOP_CURRENCY": "EUR", "PUBLIC_URL": "https://shop.example/", "HOLD_AT": "checkout", "HOLD_TTL": "30s", "MANY": "2", "DEMO": "true",
		"HOSTS": "a.example,b.example", "ZONE": "Europe/London", "KEYS": key + "," + key + "2",
	}, "")
	require.NoError(t, err)
	require.Equal(t, sample{
		Shop: Shop{"EUR"}, Key: key, Public: "https://shop.example", At: "checkout", For: 30 * time.Second, Many: 2, Demo: true, Hosts: []string{"a.example", "b.example"},
		Zone: "Europe/London", Keys: Keys{key, key + "2"},
	}, got)
	require.Equal(t, key, string(got.Keys.Signs()))
	require.Equal(t, "BST", time.Date(2026, 7, 1, 0, 0, 0, 0, got.Zone.Location()).Format("MST"))
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]map[string]string{
		"setting HASH_KEY is not set":                                                                      {"HASH_KEY": ""},
		"setting HASH_KEY is a secret of less than 16 characters":                                          {"HASH_KEY": "short-and-secret"[:15]},
		"setting KEYS is a secret of less than 16 characters":                                              {"KEYS": key + ","}, // as if nothing were one
		"setting PUBLIC_URL is not an address such as http://localhost:8000":                               {"PUBLIC_URL": "localhost"},
		"setting HOLD_AT is none of cart, checkout":                                                        {"HOLD_AT": "nowhere"},
		"setting HOLD_TTL is not a duration such as 15m":                                                   {"HOLD_TTL": "-3s"},
		"setting MANY is not a whole number of at least 1":                                                 {"MANY": "0"},
		"setting DEMO is none of true, false":                                                              {"DEMO": "yes"},
		"setting ZONE is not the name of a time zone such as Europe/London":                                {"ZONE": "Europe/Londonium"},
		"setting HOLD_TTL is not a duration such as 15m\nsetting MANY is not a whole number of at least 1": {"HOLD_TTL": "15", "MANY": "many"},
	} {
		environment := map[string]string{"HASH_KEY": key}
		for name, value := range change {
			environment[name] = value
		}
		_, err := Read[sample](environment, "")
		require.EqualError(t, err, want)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	list := Describe[sample](map[string]string{"HASH_KEY": key, "HOLD_TTL": "1m"}, "")
	require.Len(t, list, 10)
	require.Equal(t, []any{"SHOP_CURRENCY", "GBP", "GBP", false}, []any{list[0].Name, list[0].Default, list[0].Value, list[0].Required})
	require.Equal(t, []any{"HASH_KEY", "", "***", true, true}, []any{list[1].Name, list[1].Default, list[1].Value, list[1].Required, list[1].Secret})
	require.Equal(t, []any{"HOLD_TTL", "15m", "1m"}, []any{list[4].Name, list[4].Default, list[4].Value})
	require.Equal(t, []string{"cart", "checkout"}, list[3].Enum)
	require.Equal(t, "ORDERS_DATABASE_URL", Describe[struct {
		URL string `env:"DATABASE_URL"`
	}](nil, "ORDERS_")[0].Name)
}
