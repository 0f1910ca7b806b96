package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

const pastHeader = "Name,Email,Financial Status,Fulfillment Status,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount," +
	"Shipping Method,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Shipping Name,Shipping Address1," +
	"Shipping City,Shipping Zip,Shipping Province,Shipping Country,Shipping Phone,Billing Name,Cancelled at,Refunded Amount\n"

// pastOrder is an order of two lines, as Shopify writes it.
func pastOrder(number, email string) string {
	return number + "," + email + ",paid,fulfilled,GBP,30.00,4.50,5.75,34.50,SPRING,3.00,Standard,2024-03-05 14:02:11 +0100,2," +
		"Lamp - Blue,12.50,LAMP-B,Augusta Byron,12 Analytical Square,Marylebone,'EC1A 1BB,,GB,'+442079460000,Augusta Byron,,10.00\n" +
		number + ",,,,,,,,,,,,,1,Cord,8.00,,,,,,,,,,,\n"
}

func readPast(t *testing.T, rows string) (Imported, csvfile.Row) {
	t.Helper()
	table, err := csvfile.Open(strings.NewReader(pastHeader+rows), isOrders, errNotOrders)
	require.NoError(t, err)
	var group []csvfile.Record
	stopped, err := table.Each(func(rec csvfile.Record) error { group = append(group, rec); return nil })
	require.NoError(t, err)
	require.Empty(t, stopped)
	return ReadImported(group, csvfile.Find(table.Header, importedColumns))
}

func TestReadImported(t *testing.T) {
	t.Parallel()
	o, row := readPast(t, pastOrder("#1001", "AUGUSTA@example.test"))
	to := &PastAddress{
		Name: "Augusta Byron", Line1: "12 Analytical Square", City: "Marylebone", PostalCode: "EC1A 1BB", Country: "GB",
		Phone: "+442079460000",
	}
	gbp := func(minor int64) money.Money { return money.New(minor, "GBP") }
	require.Equal(t, Imported{
		Number: "#1001", Email: "augusta@example.test", PlacedAt: time.Date(2024, 3, 5, 13, 2, 11, 0, time.UTC), Total: gbp(3450),
		ImportedDetails: ImportedDetails{
			Payment: "paid", Fulfilment: "fulfilled", Subtotal: gbp(3000), Discount: gbp(300), Shipping: gbp(450), Tax: gbp(575),
			Refunded: gbp(1000), PromoCode: "SPRING", Method: "Standard", Address: to, Billing: &PastAddress{Name: "Augusta Byron"},
			Lines: []ImportedLine{
				{SKU: "LAMP-B", Name: "Lamp - Blue", Quantity: 2, UnitPrice: gbp(1250)},
				{Name: "Cord", Quantity: 1, UnitPrice: gbp(800)},
			},
		},
	}, o)
	require.Equal(t, csvfile.Row{Line: 2, Name: "#1001", Outcome: csvfile.Created, Notes: []string{}}, row)

	for name, tt := range map[string]struct{ old, new, refused, note string }{
		"no number":    {"#1001,AUG", ",AUG", "the row has no Name", ""},
		"no currency":  {"GBP", "", "the order has no Currency, a code of three letters", ""},
		"no total":     {"34.50", "", "the Total is not an amount such as 19.99", ""},
		"no money":     {"34.50", "lots", "the Total is not an amount such as 19.99", ""},
		"much money":   {"34.50", "999999999999.00", "the Total is not an amount such as 19.99", ""},
		"other digits": {"GBP", "JPY", "the Total is not an amount such as 19.99", ""},
		"no time":      {"2024-03-05 14:02:11 +0100", "yesterday", "Created at is not a time such as 2024-03-05 14:02:11 +0100", ""},
		"no e-mail":    {"AUGUSTA@example.test", "AUGUSTA", "", "the e-mail address was not taken"},
		"bad sum":      {"30.00,4.50", "-30,4.50", "", "subtotal is not an amount such as 19.99"},
		"bad price":    {"8.00", "cheap", "", "price is not an amount such as 19.99"},
		"bad quantity": {"2,Lamp", "two,Lamp", "", "line 2: the quantity is not a number"},
		"long name":    {"Augusta Byron,12", strings.Repeat("x", 201) + ",12", "", "shipping name is not one line of at most 200"},
		"bad end":      {"Augusta Byron,,10.00", "Augusta Byron,soon,10.00", "", "cancelled at is not a time"},
		"broken row":   {",1,Cord,8.00,,,,,,,,,,,", `,1,"Cord"s,8.00`, "", "line 3: the row is not valid CSV"},
		"many rows":    {"", strings.Repeat("#1001,\n", maxImportedLines), "the order has more than 1000 rows", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := pastOrder("#1001", "AUGUSTA@example.test")
			if name == "many rows" {
				file += tt.new
			} else {
				require.Contains(t, file, tt.old)
				file = strings.Replace(file, tt.old, tt.new, 1)
			}
			o, row := readPast(t, file)
			require.Equal(t, tt.refused, row.Reason)
			require.Equal(t, tt.refused != "", row.Outcome == csvfile.Refused)
			if tt.note != "" {
				require.Len(t, row.Notes, 1)
				require.Contains(t, row.Notes[0], tt.note)
				require.Equal(t, gbp(3450), o.Total, "it is taken all the same")
			}
		})
	}
	o, _ = readPast(t, strings.Replace(pastOrder("#1", "a@example.test"), "Byron,,10.00", "Byron,2024-03-06T10:00:00Z,10.00", 1))
	require.Equal(t, time.Date(2024, 3, 6, 10, 0, 0, 0, time.UTC), *o.CancelledAt)
	require.False(t, isOrders([]string{"First Name", "Email", "Total Spent"}), "a file of customers")
}

func (b *bundle) imports(t *testing.T, file string) (out csvfile.Report) {
	t.Helper()
	res := servetest.Do(t, b.rt, "POST", "/api/v1/admin/orders/import", admin(t), file, "Content-Type", "text/csv")
	require.Equal(t, 200, res.Status, "%s", res.Body)
	res.JSON(t, &out)
	return out
}

// owned answers for auth whose some addresses are.
func (b *bundle) owned(t *testing.T, owners map[string]uuid.UUID) {
	t.Helper()
	servetest.Neighbour(t, b.rt, "auth", "POST /internal/accounts/owners", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Emails []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		items := []map[string]any{}
		for _, e := range in.Emails {
			if id, ok := owners[e]; ok {
				items = append(items, map[string]any{"email": e, "account_id": id})
			}
		}
		servetest.Answers(map[string]any{"items": items})(w, r)
	})
	require.NoError(t, b.findOwners(t.Context()))
}

func (b *bundle) past(t *testing.T, account uuid.UUID) (numbers []string) {
	t.Helper()
	var out rest.List[Imported]
	servetest.Do(t, b.rt, "GET", "/api/v1/orders/imported", shopper(t, account), nil).JSON(t, &out)
	for _, o := range out.Items {
		numbers = append(numbers, o.Number)
	}
	return numbers
}

func (b *bundle) adminPast(t *testing.T, query string) (found []adminImported) {
	t.Helper()
	var out rest.List[adminImported]
	servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders/imported"+query, admin(t), nil).JSON(t, &out)
	return out.Items
}

// TestImportOrders: a file's orders are there for the office and for whoever has proved the address, once, and are no orders.
func TestImportOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := len(servetest.Outbox(t, b.db))
	known, late, mover := uuid.New(), uuid.New(), uuid.New()
	file := pastHeader + pastOrder("#1001", "known@example.test") + pastOrder("#1002", "late@example.test") + pastOrder("#1003", "") +
		pastOrder("#1004", "moved@example.test") + "#1005,x@example.test,paid\n" +
		strings.ReplaceAll(pastOrder("#1006", "known@example.test"), "2024-03-05", "2024-04-05")
	out := b.imports(t, file)
	require.Equal(t, []any{5, 0, 0, 1, true}, []any{out.Created, out.Changed, out.Unchanged, out.Refused, out.Complete})
	require.Equal(t, 10, out.Rows[4].Line)
	require.Empty(t, b.past(t, known), "nobody has been asked yet")

	servetest.Neighbour(t, b.rt, "auth", "POST /internal/accounts/owners", servetest.IsAway)
	require.Error(t, b.findOwners(t.Context()))
	b.owned(t, map[string]uuid.UUID{"known@example.test": known})
	require.Equal(t, []string{"#1006", "#1001"}, b.past(t, known), "newest first")
	require.Empty(t, b.past(t, late))
	servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: late, Email: "late@example.test", First: true, At: b.now()})
	servetest.Deliver(t, b.rt, events.AccountEmailChanged{AccountID: mover, Email: "moved@example.test", At: b.now()})
	require.Equal(t, []string{"#1002"}, b.past(t, late))
	require.Equal(t, []string{"#1004"}, b.past(t, mover))
	// Whose it is does not change with the owner of the address.
	servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: uuid.New(), Email: "late@example.test", First: true, At: b.now()})
	require.Equal(t, []string{"#1002"}, b.past(t, late))

	again := b.imports(t, file)
	require.Equal(t, []int{0, 0, 5, 1}, []int{again.Created, again.Changed, again.Unchanged, again.Refused})
	b.owned(t, nil)
	require.Equal(t, []string{"#1006", "#1001"}, b.past(t, known))
	shipped := b.imports(t, pastHeader+strings.Replace(pastOrder("#1001", "known@example.test"), "10.00\n", "34.50\n", 1))
	require.Equal(t, []int{0, 1, 0, 0}, []int{shipped.Created, shipped.Changed, shipped.Unchanged, shipped.Refused})
	require.Equal(t, []string{"#1006", "#1001"}, b.past(t, known))
	other := b.imports(t, pastHeader+pastOrder("#1006", "late@example.test"))
	require.Equal(t, 1, other.Changed)
	require.Equal(t, []string{"#1001"}, b.past(t, known), "another's address in the file")
	b.owned(t, map[string]uuid.UUID{"late@example.test": late})
	require.Len(t, b.past(t, late), 2)

	require.Len(t, b.adminPast(t, ""), 5)
	require.Equal(t, "#1003", b.adminPast(t, "?q=1003")[0].Number)
	require.Equal(t, "#1003", b.adminPast(t, "?q=%231003")[0].Number)
	found := b.adminPast(t, "?q=KNOWN@")
	require.Equal(t, []any{1, known, money.New(3450, "GBP")}, []any{len(found), *found[0].AccountID, found[0].Refunded})
	res := servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders/imported/"+found[0].ID.String(), admin(t), nil)
	var one adminImported
	res.JSON(t, &one)
	require.Equal(t, found[0], one)
	for _, no := range []string{"x", uuid.NewString()} {
		res := servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders/imported/"+no, admin(t), nil)
		require.Equal(t, "imported-order-not-found", res.Slug(), "%s", res.Body)
	}

	// Nothing that sells, counts or tells knows of them.
	require.Len(t, servetest.Outbox(t, b.db), before)
	require.Zero(t, b.count(t, `SELECT count(*) FROM orders`))
	res = servetest.Do(t, b.rt, "GET", "/api/v1/orders/"+found[0].ID.String(), shopper(t, known), nil)
	require.Equal(t, "order-not-found", res.Slug())

	for _, bad := range []string{"", "{}", "First Name,Last Name,Email\nAnn,Lee,a@example.test\n"} {
		res := servetest.Do(t, b.rt, "POST", "/api/v1/admin/orders/import", admin(t), bad, "Content-Type", "text/csv")
		require.Equal(t, 422, res.Status, "%s", res.Body)
	}
	res = servetest.Do(t, b.rt, "POST", "/api/v1/admin/orders/import", shopper(t, known), file, "Content-Type", "text/csv")
	require.Equal(t, 403, res.Status)
}

// TestImportInParts: an order whose rows do not stand together is not taken in parts, and a file that breaks off takes no half
// of its last.
func TestImportInParts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	apart := "#1,,,,,,,,,,,,,1,Shade,2.00,,,,,,,,,,,\n"
	out := b.imports(t, pastHeader+pastOrder("#1", "a@example.test")+pastOrder("#2", "a@example.test")+apart)
	require.Equal(t, []int{2, 1}, []int{out.Created, out.Refused})
	require.Len(t, b.adminPast(t, "?q=1")[0].Lines, 2)
	out = b.imports(t, pastHeader+pastOrder("#3", "a@example.test")+pastOrder("#4", "a@example.test")+"#4,,\""+strings.Repeat("x", 2<<20))
	require.Equal(t, []any{1, false}, []any{out.Created, out.Complete})
	require.NotEmpty(t, out.Stopped)
	require.Empty(t, b.adminPast(t, "?q=4"))
	// More than fit into one batch.
	var file strings.Builder
	file.WriteString(pastHeader)
	for range importBatch + 50 {
		file.WriteString(pastOrder("#"+uuid.NewString(), "many@example.test"))
	}
	require.Equal(t, importBatch+50, b.imports(t, file.String()).Created)
}

// TestForgetImported: with the account goes the person, also when its address became known late; the books stay.
func TestForgetImported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account := uuid.New()
	file := pastHeader + pastOrder("#1001", "augusta@example.test")
	b.imports(t, file)
	b.owned(t, map[string]uuid.UUID{"augusta@example.test": account})
	servetest.Deliver(t, b.rt, events.AccountRemoved{AccountID: account, At: b.now()})
	servetest.Nowhere(t, b.db, adas...)
	got := b.adminPast(t, "")[0]
	require.Equal(t, []any{true, "", "GB", money.New(3450, "GBP"), 2},
		[]any{got.Forgotten, got.Email, got.Address.Country, got.Total, len(got.Lines)})
	require.Nil(t, got.Billing)
	require.Equal(t, 1, b.imports(t, file).Unchanged, "the file does not bring her back")
	servetest.Nowhere(t, b.db, adas...)

	// It is told of the account that it is gone before whose the address was.
	gone := uuid.New()
	b.imports(t, pastHeader+pastOrder("#1002", "augusta@example.test"))
	servetest.Deliver(t, b.rt, events.AccountRemoved{AccountID: gone, At: b.now()})
	servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: gone, Email: "augusta@example.test", First: true, At: b.now()})
	_, err := b.db.Exec(t.Context(), `UPDATE forgotten SET again_at = now()`)
	require.NoError(t, err)
	require.NoError(t, forget.Again(b.db, forgetImported)(t.Context()))
	servetest.Nowhere(t, b.db, adas...)
}
