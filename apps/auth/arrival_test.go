package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/postal"
)

const customerHeader = "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,Default Address Address1," +
	"Default Address Address2,Default Address City,Default Address Province Code,Default Address Country Code,Default Address Zip," +
	"Default Address Phone,Phone,Accepts SMS Marketing,Total Spent,Total Orders,Note,Tax Exempt,Tags\n"

// readArrivals reads a file of customers.
func readArrivals(t *testing.T, file string) (arrivals []Arrival, rows []csvfile.Row) {
	t.Helper()
	table, err := csvfile.New(strings.NewReader(file), isCustomers)
	require.NoError(t, err)
	at := csvfile.Find(table.Header, customerColumns)
	for {
		rec, err := table.Read()
		if err != nil {
			return arrivals, rows
		}
		a, row := ReadArrival(rec, at)
		arrivals, rows = append(arrivals, a), append(rows, row)
	}
}

func TestReadArrival(t *testing.T) {
	t.Parallel()
	address := postal.Address{
		Name: "Zoë O'Hara, Analytical Ltd", Line1: "1 High St", Line2: "Flat 2", City: "London", PostalCode: "N1 9GU", Country: "GB",
		Phone: "+442079460000",
	}
	for name, tt := range map[string]struct {
		row     string
		want    Arrival
		notes   []string
		refused string
	}{
		"all there is": {
			`'7001,Zoë,O'Hara, ZOE@Example.test ,yes,Analytical Ltd,1 High St,Flat 2,London,,GB,n1 9gu,020 7946 0000,` +
				`'+44 20 7946 0001,no,0,0,VIP,no,x`,
			Arrival{Email: "zoe@example.test", FirstName: "Zoë", LastName: "O'Hara", Phone: "+442079460001", Address: &address}, nil, "",
		},
		"a state": {
			`1,Ann,Lee,ann@example.test,no,,1 Main St,,Springfield,IL,US,62701,,,,,,,,`,
			Arrival{Email: "ann@example.test", FirstName: "Ann", LastName: "Lee", Address: &postal.Address{
				Name: "Ann Lee", Line1: "1 Main St", City: "Springfield", Region: "IL", PostalCode: "62701", Country: "US",
			}}, nil, "",
		},
		"a bad address costs that address": {
			`1,Ann,Lee,ann@example.test,no,,1 High St,,London,,GB,nonsense,,,,,,,,`,
			Arrival{Email: "ann@example.test", FirstName: "Ann", LastName: "Lee"},
			[]string{"the address was not taken: postal_code is not a postcode of the country"}, "",
		},
		"no such country": {
			`1,Ann,Lee,ann@example.test,no,,1 High St,,London,,UK,N1 9GU,,,,,,,,`,
			Arrival{Email: "ann@example.test", FirstName: "Ann", LastName: "Lee"},
			[]string{"the address was not taken: country is not a country (ISO 3166-1 alpha-2)"}, "",
		},
		"bad numbers": {
			`1,Ann,Lee,ann@example.test,no,,1 High St,,London,,GB,N1 9GU,call me,12,,,,,,`,
			Arrival{Email: "ann@example.test", FirstName: "Ann", LastName: "Lee", Address: &postal.Address{
				Name: "Ann Lee", Line1: "1 High St", City: "London", PostalCode: "N1 9GU", Country: "GB",
			}}, []string{"the telephone number of the address was not taken", "the telephone number was not taken"}, "",
		},
		"no name": {
			`1,,,ann@example.test,no,,,,,,,,,,,,,,,`, Arrival{Email: "ann@example.test", FirstName: "ann", LastName: "–"},
			[]string{"has no name: the e-mail address stands for it"}, "",
		},
		"half a name, and signs": {
			`1,,Smith & Sons (Ltd),ann@example.test,no,,,,,,,,,,,,,,,`,
			Arrival{Email: "ann@example.test", FirstName: "–", LastName: "Smith Sons Ltd"}, nil, "",
		},
		"no address": {`1,Ann,Lee,,no,,,,,,,,,,,,,,,`, Arrival{}, nil, "the row has no e-mail address, or one that is not taken"},
		"a twin": {
			`1,Ann,Lee,аnn@example.test,no,,,,,,,,,,,,,,,`, Arrival{}, nil, "the row has no e-mail address, or one that is not taken",
		},
		"too many":      {`1,Ann,Lee,a@example.test,no,,,,,,,,,,,,,,,,x`, Arrival{}, nil, "the row has 21 columns, the header has 20"},
		"trailing gaps": {`1,Ann,Lee,ann@example.test`, Arrival{Email: "ann@example.test", FirstName: "Ann", LastName: "Lee"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrivals, rows := readArrivals(t, customerHeader+tt.row+"\n")
			require.Len(t, rows, 1)
			require.Equal(t, tt.want, arrivals[0])
			require.Equal(t, 2, rows[0].Line)
			require.Equal(t, tt.refused, rows[0].Reason)
			require.ElementsMatch(t, tt.notes, rows[0].Notes)
		})
	}
	// The columns of exports of before, as Excel saves them.
	old := "First Name;Last Name;Email;Accepts Marketing;Company;Address1;Address2;City;Province;Province Code;Country;Country Code;" +
		"Zip;Phone\n" +
		"Ann;Lee;ann@example.test;no;;1 High St;;London;;;United Kingdom;GB;N1 9GU;+442079460000\n"
	arrivals, _ := readArrivals(t, strings.ReplaceAll(old, "\n", "\r\n"))
	require.Equal(t, "GB", arrivals[0].Address.Country)
	require.Equal(t, "+442079460000", arrivals[0].Phone)
	require.False(t, isCustomers([]string{"Name", "Email", "Financial Status"}), "a file of orders")
}
