package postal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/postal"
	"github.com/stampede-shop/stampede/kit/problem"
)

func address(country, line1, city, region, postcode string) postal.Address {
	return postal.Address{Name: "Ann Lee", Line1: line1, City: city, Region: region, PostalCode: postcode, Country: country}
}

// Addresses of offices that everybody may know.
func TestCheckTakes(t *testing.T) {
	t.Parallel()
	for _, a := range []postal.Address{
		address("GB", "1 High Street", "Leeds", "", "LS1 1AA"),
		address("GB", "1 High Street", "Leeds", "West Yorkshire", "LS11AA"), // a county does no harm
		address("US", "1600 Amphitheatre Parkway", "Mountain View", "CA", "94043"),
		address("US", "1600 Amphitheatre Parkway", "Mountain View", "California", "94043-1351"),
		address("CA", "80 Wellington Street", "Ottawa", "ON", "K1A 0A2"),
		address("AU", "1 Macquarie Street", "Sydney", "NSW", "2000"),
		address("DE", "Platz der Republik 1", "Berlin", "", "11011"),
		address("FR", "55 rue du Faubourg Saint-Honoré", "Paris", "", "75008"),
		address("IE", "Leinster House", "Dublin 2", "", "D02 A272"),
		address("IT", "Piazza del Quirinale", "Roma", "RM", "00187"),
		address("ES", "Calle de Bailén", "Madrid", "Madrid", "28071"),
		address("NL", "Binnenhof 1", "Den Haag", "", "2513 AA"),
		address("JP", "1-7-1 Nagatacho, Chiyoda-ku", "", "Tokyo", "100-0014"),
		address("JP", "永田町1-7-1", "千代田区", "東京都", "100-0014"),
		address("NZ", "Molesworth Street", "Wellington", "", "6011"),
		address("HK", "1 Legislative Council Road", "", "Hong Kong Island", ""),
	} {
		got, err := a.Check("body")
		require.NoError(t, err, "%+v", a)
		require.Equal(t, a.City, got.City)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a     postal.Address
		field string
		code  problem.Code
	}{
		{address("UK", "1 High Street", "Leeds", "", "LS1 1AA"), "country", problem.CodeNotOneOf},
		{address("XX", "1 High Street", "Leeds", "", "LS1 1AA"), "country", problem.CodeNotOneOf},
		{address("ZZ", "1 High Street", "Leeds", "", "LS1 1AA"), "country", problem.CodeNotOneOf},
		{address("EU", "1 High Street", "Leeds", "", "LS1 1AA"), "country", problem.CodeNotOneOf},
		{address("GB", "1 High Street", "Leeds", "", "x"), "postal_code", problem.CodeWrongFormat},
		{address("GB", "1 High Street", "Leeds", "", ""), "postal_code", problem.CodeRequired},
		{address("GB", "1 High Street", "", "", "LS1 1AA"), "city", problem.CodeRequired},
		{address("US", "1 Main Street", "Mountain View", "", "94043"), "region", problem.CodeRequired},
		{address("US", "1 Main Street", "Mountain View", "Bavaria", "94043"), "region", problem.CodeNotOneOf},
		{address("US", "1 Main Street", "Mountain View", "NY", "94043"), "postal_code", problem.CodeNotAllowed},
		{address("US", "1 Main Street", "Mountain View", "CA", "9404"), "postal_code", problem.CodeWrongFormat},
		{address("DE", "Platz der Republik 1", "Berlin", "", "1101"), "postal_code", problem.CodeWrongFormat},
		{address("CA", "80 Wellington Street", "Ottawa", "ON", "00000"), "postal_code", problem.CodeWrongFormat},
	} {
		_, err := c.a.Check("body.address")
		var p *problem.Error
		require.ErrorAs(t, err, &p, "%+v", c.a)
		require.Len(t, p.Fields(), 1)
		require.Equal(t, "body.address."+c.field, p.Fields()[0].Location, "%+v", c.a)
		require.Equal(t, c.code, p.Fields()[0].Code, "%+v", c.a)
		require.NotContains(t, p.Fields()[0].Message, "1 High Street")
	}
}

// What is kept is written in one way.
func TestCheckTidies(t *testing.T) {
	t.Parallel()
	a := address("US", "1 Main Street", "Mountain View", "california", "94043")
	a.Phone = "(650) 253-0000"
	got, err := a.Check("body")
	require.NoError(t, err)
	require.Equal(t, "California", got.Region)
	require.Equal(t, "+16502530000", got.Phone)
	got, err = address("GB", "1 High Street", "Leeds", "", "ls1 1aa").Check("body")
	require.NoError(t, err)
	require.Equal(t, "LS1 1AA", got.PostalCode)
	got, err = address("CA", "80 Wellington Street", "Ottawa", "on", "k1a 0a2").Check("body")
	require.NoError(t, err)
	require.Equal(t, []string{"ON", "K1A 0A2"}, []string{got.Region, got.PostalCode})
	a.Phone = "call me"
	_, err = a.Check("body")
	require.ErrorIs(t, err, problem.ErrInvalid)
}

func TestOf(t *testing.T) {
	t.Parallel()
	us, ok := postal.Of("US")
	require.True(t, ok)
	require.Equal(t, postal.Field{Label: "State", Shown: true, Wanted: true}, us.Region)
	require.Equal(t, postal.Field{Label: "ZIP code", Shown: true, Wanted: true}, us.PostalCode)
	require.Greater(t, len(us.Regions), 50)
	gb, ok := postal.Of("GB")
	require.True(t, ok)
	require.False(t, gb.Region.Shown)
	require.Equal(t, "Postcode", gb.PostalCode.Label)
	jp, _ := postal.Of("JP")
	require.Equal(t, "Prefecture", jp.Region.Label)
	require.Len(t, jp.Regions, 47)
	require.Contains(t, []string{jp.Regions[0].Name, jp.Regions[46].Name, jp.Regions[12].Name}, jp.Regions[12].Value(jp))
	ie, _ := postal.Of("IE")
	require.Equal(t, "Eircode", ie.PostalCode.Label)
	for _, code := range []string{"", "UK", "XX", "ZZ", "gb", "GBR"} {
		_, ok := postal.Of(code)
		require.False(t, ok, code)
	}
}

func TestPhone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, country, want string }{
		{"+44 20 7946 0000", "", "+442079460000"},
		{"+44 (0)20 7946 0000", "", "+442079460000"},
		{"+44(0)2079460000", "", "+442079460000"},
		{"020 7946 0000", "GB", "+442079460000"},
		{"0044 20 7946 0000", "GB", "+442079460000"},
		{"+1 (202) 555-0143", "", "+12025550143"},
		{"+49 (0) 30 227-0", "", "+49302270"},
		{"+39 06 4699 1", "", "+390646991"}, // Italy keeps its zero
		{"＋４４ ２０ ７９４６ ００００", "", "+442079460000"},
		{"020 7946 0000", "", ""},
		{"0044 20 7946 0000", "", ""},
		{"+0123456789", "", ""},
		{"+44123", "", ""},
		{"+1234567890123456", "", ""},
		{"+44 20 7946 0000 ext. 5", "", ""},
		{"call me", "GB", ""},
		{"", "GB", ""},
		{"'; DROP TABLE profiles; --", "GB", ""},
	} {
		got, err := postal.Phone(c.in, c.country)
		require.Equal(t, c.want, got, "%q in %q", c.in, c.country)
		require.Equal(t, c.want == "", err != nil, "%q in %q", c.in, c.country)
	}
}
