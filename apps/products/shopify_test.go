package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
)

const header = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Qty,Image Src,Image Alt Text,Status\n"

func readAll(t *testing.T, file string) ([][]row, error) {
	t.Helper()
	g, err := newGroupReader(strings.NewReader(file))
	require.NoError(t, err)
	var groups [][]row
	for {
		group, err := g.Next()
		if errors.Is(err, io.EOF) {
			return groups, nil
		}
		if err != nil {
			return groups, err
		}
		groups = append(groups, group)
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	groups, err := readAll(t, "\xef\xbb\xbf"+header+
		"tee,Tee,\"<p>a,\nb</p>\",Acme,Shirts,\"x, y\",TRUE,Size,S,T-S,10.00,5,tee.svg,Ä tee,active\r\n"+
		"tee,,,,,,,,M,T-M,11.00,6,,,\n"+
		"\n"+
		"Mug,Mug,,,,,,,,,,,,,\n"+
		"too many,,,,,,,,,,,,,,,x\n"+
		"tee,,,,,,,,L,T-L,12.00,7,,,\n"+
		",No handle,,,,,,,,,,,,,\n"+
		"bad\"quote,,,,,,,,,,,,,,\n"+
		"\xff,,,,,,,,,,,,,,\n")
	require.NoError(t, err)
	require.Len(t, groups, 3)
	require.Equal(t, 2, groups[0][0].line)
	require.Equal(t, "<p>a,\nb</p>", groups[0][0].cells[colBody])
	require.Equal(t, "T-M", groups[0][1].cells[colSKU])
	require.Equal(t, "mug", handleOf(groups[1]))
	require.Contains(t, groups[1][1].refused, "16 columns")
	require.Len(t, groups[2], 4)
	require.Equal(t, "the row has no Handle", groups[2][1].refused)
	require.Contains(t, groups[2][2].refused, "not valid CSV")
	require.Equal(t, "the row is not UTF-8 text", groups[2][3].refused)
}

func TestColumnsOfBothGenerations(t *testing.T) {
	t.Parallel()
	groups, err := readAll(t, "Title,URL handle,Description,SKU,Price,Inventory quantity,Product image URL,Care (product.metafields.custom.care),Most (product.metafields.custom.max_per_shopper)\n"+
		"Tee,tee,<b>x</b>,T,10,4,tee.svg,Wash cold,2\n")
	require.NoError(t, err)
	r := groups[0][0]
	require.Equal(t, "tee", r.cells[colHandle])
	require.Equal(t, "<b>x</b>", r.cells[colBody])
	require.Equal(t, "4", r.cells[colQuantity])
	require.Equal(t, "2", r.cells[colMaxPerShopper])
	require.Equal(t, map[string]string{"Care": "Wash cold"}, r.extra)
}

func TestNotAnExport(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"empty": "", "json": `{"a":1}`, "other columns": "a,b\n1,2\n", "semicolons": "a;b\n1;2\n", "quote": "\"Handle\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newGroupReader(strings.NewReader(file))
			require.ErrorIs(t, err, problem.ErrInvalid)
		})
	}
}

func TestRowTooLong(t *testing.T) {
	t.Parallel()
	_, err := readAll(t, header+"tee,Tee,\""+strings.Repeat("x", 3<<20))
	require.ErrorIs(t, err, csvfile.ErrRowTooLong)
}

func TestLongRunIsReadInParts(t *testing.T) {
	t.Parallel()
	groups, err := readAll(t, header+strings.Repeat("tee,,,,,,,,,,,,a.svg,,\n", maxGroupRows+1))
	require.NoError(t, err)
	require.Len(t, groups, 2)
}

// importer takes files into products in memory, one after the other, as the service does with the database.
type importer struct {
	products map[string]*Product
	setStock bool
	ids      int
}

func (im *importer) take(t *testing.T, file string) []rowResult {
	t.Helper()
	groups, err := readAll(t, file)
	require.NoError(t, err)
	var all []rowResult
	for _, group := range groups {
		slug := handleOf(group)
		p, known := im.products[slug]
		if !known {
			p = &Product{ID: im.newID(), Slug: slug}
		}
		results, err := intake{
			now: noon, digits: 2, setStock: im.setStock, newID: im.newID,
			category: func(path []string) (uuid.UUID, error) {
				return uuid.NewSHA1(uuid.Nil, []byte(strings.Join(path, ">"))), nil
			},
			picture: func(src string) (string, string) {
				return pictureSource(src, map[string]string{"tee.svg": "1.svg"}, nil)
			},
			skuTaken: func(sku string) bool {
				for _, o := range im.products {
					if _, ok := o.Variant(sku); ok && o != p {
						return true
					}
				}
				return false
			},
		}.take(p, !known, group)
		require.NoError(t, err)
		all = append(all, results...)
		if p.Name != "" {
			im.products[slug] = p
		}
	}
	return all
}

func (im *importer) newID() uuid.UUID {
	im.ids++
	return uuid.NewSHA1(uuid.Nil, []byte(fmt.Sprint(im.ids)))
}

func outcomes(rs []rowResult) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Outcome)
	}
	return strings.Join(out, " ")
}

func TestTake(t *testing.T) {
	t.Parallel()
	file := header +
		"tee,Tee,<script>x</script><p>Soft</p>,Acme,Clothes > Shirts,\"b, a\",TRUE,Size,S,T-S,10.00,5,tee.svg,A tee,active\n" +
		"tee,,,,,,,,M,T-M,11.5,-6,,,\n" +
		"tee,,,,,,,,,,,,https://cdn.example.com/tee.jpg,,\n" +
		"mug,Mug,,,,,TRUE,Title,Default Title,,7.99,,,,active\n" +
		"hat,Hat,,,,,TRUE,Title,Default Title,H,7.99,1,,,draft\n"
	im := &importer{products: map[string]*Product{}}
	results := im.take(t, file)
	require.Equal(t, "created created unchanged created created", outcomes(results))
	tee := im.products["tee"]
	require.Equal(t, Published, tee.Status)
	require.Equal(t, "<p>Soft</p>", tee.Description)
	require.Equal(t, []string{"a", "b"}, tee.Tags)
	require.Equal(t, []Variant{
		{SKU: "T-S", Options: []string{"S"}, Price: 1000, InitialStock: 5, InStock: true},
		{SKU: "T-M", Options: []string{"M"}, Price: 1150},
	}, tee.Variants)
	require.Equal(t, "/media/1.svg", tee.Images[0].URL)
	require.Equal(t, "A tee", tee.Images[0].Alt)
	require.Equal(t, []string{"negative quantity taken as 0"}, results[1].Notes)
	require.Contains(t, results[2].Notes[0], "IMAGE_HOSTS")
	require.Equal(t, "MUG", im.products["mug"].Variants[0].SKU)
	require.Equal(t, "MUG", results[3].SKU)
	require.Equal(t, Draft, im.products["hat"].Status)

	t.Run("again changes nothing", func(t *testing.T) {
		before := tee.clone()
		require.Equal(t, "unchanged unchanged unchanged unchanged unchanged", outcomes(im.take(t, file)))
		require.True(t, before.Same(im.products["tee"]))
	})
	t.Run("what differs is changed", func(t *testing.T) {
		changed := strings.Replace(strings.Replace(file, "11.5,-6", "12.00,9", 1), "draft", "active", 1)
		results := im.take(t, changed)
		require.Equal(t, "unchanged changed unchanged unchanged changed", outcomes(results))
		require.Equal(t, int64(1200), im.products["tee"].Variants[1].Price)
		require.Equal(t, 0, im.products["tee"].Variants[1].InitialStock)
		require.Nil(t, results[1].setStock)
		require.Equal(t, Published, im.products["hat"].Status)
	})
	t.Run("stock only when asked", func(t *testing.T) {
		im.setStock = true
		results := im.take(t, file)
		require.Equal(t, 5, *results[0].setStock)
		require.Equal(t, 0, *results[1].setStock)
		require.Nil(t, results[3].setStock)
		require.True(t, results[0].stockOnly)
		require.False(t, results[1].stockOnly)
	})
	t.Run("draft hides", func(t *testing.T) {
		im.take(t, "Handle,Title,Published\ntee,Tee,FALSE\n")
		require.Equal(t, Unlisted, im.products["tee"].Status)
	})
	t.Run("a file with few columns leaves the rest", func(t *testing.T) {
		require.Equal(t, "changed", outcomes(im.take(t, "Handle,Variant SKU,Variant Price\ntee,T-S,9.99\n")))
		require.Equal(t, int64(999), im.products["tee"].Variants[0].Price)
		require.Equal(t, Unlisted, im.products["tee"].Status)
		require.Equal(t, "Tee", im.products["tee"].Name)
	})
}

func TestTakeRefuses(t *testing.T) {
	t.Parallel()
	tee := "tee,Tee,,,,,TRUE,Size,S,T-S,10.00,5,,,active\n"
	for name, c := range map[string]struct{ rows, outcomes, reason string }{
		"no title":             {"new,,,,,,,,S,N,1.00,1,,,\n", "refused", "Title"},
		"no price":             {"tee,,,,,,,,M,T-M,,1,,,\n", "refused", "price is missing"},
		"negative price":       {"tee,,,,,,,,M,T-M,-1.00,1,,,\n", "refused", "not an amount"},
		"free, on sale":        {"tee,,,,,,,,M,T-M,0.00,1,,,\n", "refused", "price of zero"},
		"words as price":       {"tee,,,,,,,,M,T-M,ten,1,,,\n", "refused", "not an amount"},
		"too many decimals":    {"tee,,,,,,,,M,T-M,1.005,1,,,\n", "refused", "not an amount"},
		"huge price":           {"tee,,,,,,,,M,T-M,999999999999999999,1,,,\n", "refused", "not an amount"},
		"words as quantity":    {"tee,,,,,,,,M,T-M,1.00,many,,,\n", "refused", "quantity"},
		"huge quantity":        {"tee,,,,,,,,M,T-M,1.00,99999999999,,,\n", "refused", "quantity"},
		"control in sku":       {"tee,,,,,,,,M,a\x07b,1.00,1,,,\n", "refused", "control"},
		"long sku":             {"tee,,,,,,,,M," + strings.Repeat("x", skus.Max+1) + ",1.00,1,,,\n", "refused", "255"},
		"half a unit":          {"tee,,,,,,,,M,T-M,1.00,1.5,,,\n", "refused", "quantity"},
		"same options":         {"tee,,,,,,,,S,T-X,1.00,1,,,\n", "refused", "differ"},
		"no option value":      {"tee,,,,,,,,,T-X,1.00,1,,,\n", "refused", "empty"},
		"sku of another":       {"other,Other,,,,,,Size,S,T-S,1.00,1,,,\n", "refused", "another product"},
		"long title":           {"new," + strings.Repeat("x", 10_000) + ",,,,,,Size,S,N,1.00,1,,,\n", "refused", "255"},
		"control in title":     {"new,a\x07b,,,,,,Size,S,N,1.00,1,,,\n", "refused", "control"},
		"nothing in the row":   {"tee,,,,,,,,,,,,,,\n", "refused", "nothing"},
		"all rows are bad":     {"new,New,,,,,,Size,S,N,x,1,,,\nnew,,,,,,,,M,N-M,y,1,,,\n", "refused refused", "amount"},
		"the first row is bad": {"new,New,,,,,,Size,S,N,x,1,,,\nnew,,,,,,,,M,N-M,1.00,1,,,\n", "refused created", "amount"},
		"one bad of three":     {"new,New,,,,,,Size,S,N,1.00,1,,,\nnew,,,,,,,,M,N-M,x,1,,,\nnew,,,,,,,,L,N-L,1.00,1,,,\n", "created refused created", ""},
	} {
		t.Run(name, func(t *testing.T) {
			im := &importer{products: map[string]*Product{}}
			im.take(t, header+tee)
			before := im.products["tee"].clone()
			results := im.take(t, header+c.rows)
			require.Equal(t, c.outcomes, outcomes(results))
			require.Contains(t, results[0].Reason, c.reason)
			require.True(t, before.Same(im.products["tee"]))
			if c.outcomes == "refused" || c.outcomes == "refused refused" {
				require.Len(t, im.products, 1)
			}
		})
	}
}

func TestParsePrice(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{"19.99": 1999, "20": 2000, "0.5": 50, "19.9900": 1999, "0": 0} {
		got, err := parsePrice(in, 2)
		require.NoError(t, err)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", ".5", "-1", "1,5", "1e3", "£5", "1.234", "1.2.3", "+1", " 1"} {
		_, err := parsePrice(in, 2)
		require.Error(t, err, in)
	}
	got, err := parsePrice("1999.00", 0)
	require.NoError(t, err)
	require.Equal(t, int64(1999), got)
}
