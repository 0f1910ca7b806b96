package main

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
)

func testFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".csv")
	require.NoError(t, err)
	return string(data)
}

func newImporter() *importer { return &importer{products: map[string]*Product{}} }

// skusOf are the SKUs of what is taken of a file, with their options and prices.
func skusOf(p *Product) map[string]string {
	out := map[string]string{}
	for _, v := range p.Variants {
		out[v.SKU] = v.name() + " " + plainPrice(v.Price, "GBP")
	}
	return out
}

// TestOneSKUOnSeveralVariants: nothing is overwritten, each variant gets a SKU, and the same one again.
func TestOneSKUOnSeveralVariants(t *testing.T) {
	t.Parallel()
	im, file := newImporter(), testFile(t, "01-same-sku-variants")
	results := im.take(t, file)
	want := map[string]string{"HF01-TEE": "S 10.00", "HF01-TEE-M": "M 12.00", "HF01-TEE-L": "L 99.00"}
	require.Equal(t, "created created created", outcomes(results))
	require.Equal(t, want, skusOf(im.products["hf01-tee"]))
	require.Contains(t, results[1].Notes[0], "HF01-TEE-M")
	require.Equal(t, "unchanged unchanged unchanged", outcomes(im.take(t, file)))
	lines := strings.SplitAfter(file, "\n")
	require.Equal(t, "unchanged unchanged unchanged", outcomes(im.take(t, lines[0]+lines[1]+lines[3]+lines[2])), "in another order")
	require.Equal(t, want, skusOf(im.products["hf01-tee"]))

	t.Log("a SKU that would be made is another variant's")
	im = newImporter()
	im.take(t, lines[0]+lines[1]+lines[2]+"hf01-tee,,,,,,,,XL,,,HF01-TEE-M,5,12.00,\n")
	require.Len(t, im.products["hf01-tee"].Variants, 3)
	require.Equal(t, "XL 12.00", skusOf(im.products["hf01-tee"])["HF01-TEE-M"])

	t.Log("one variant twice")
	results = newImporter().take(t, lines[0]+lines[1]+strings.Replace(lines[1], "Tee", "", 1)+"hf01-tee,,,,,,,,S,,,HF01-TEE,5,11.00,\n")
	require.Equal(t, "created unchanged refused", outcomes(results))
	require.Equal(t, "line 2 has this variant already, and otherwise", results[2].Reason)
}

func TestNoSKU(t *testing.T) {
	t.Parallel()
	im, file := newImporter(), testFile(t, "01b-no-sku-nonlatin-options")
	require.Equal(t, "created created created", outcomes(im.take(t, file)))
	require.Equal(t, map[string]string{
		"HF01B-TEE-KRASNYI": "Красный 10.00", "HF01B-TEE-SINII": "Синий 12.00", "HF01B-TEE-ZELENYI": "Зелёный 13.00",
	}, skusOf(im.products["hf01b-tee"]))
	require.Equal(t, "unchanged unchanged unchanged", outcomes(im.take(t, file)))

	t.Log("options that differ in signs, in case, or in where they end")
	im = newImporter()
	file = strings.Replace(header, "Variant SKU", "Option2 Name,Option2 Value,Variant SKU", 1)
	for i, options := range []string{"+,1/2", "-,1/2", "+,12", "a,b c", "a b,c", "A,B C"} {
		one, two, _ := strings.Cut(options, ",")
		title, names := "", [2]string{}
		if i == 0 {
			title, names = "Signs", [2]string{"Sign", "Size"}
		}
		file += "signs," + title + ",,,,,TRUE," + names[0] + "," + one + "," + names[1] + "," + two + ",,1.00,1,,,active\n"
	}
	require.Equal(t, strings.TrimSpace(strings.Repeat("created ", 6)), outcomes(im.take(t, file)))
	require.Len(t, skusOf(im.products["signs"]), 6)
	require.Equal(t, strings.TrimSpace(strings.Repeat("unchanged ", 6)), outcomes(im.take(t, file)))
}

func TestHandlesOfAnyScript(t *testing.T) {
	t.Parallel()
	im := newImporter()
	require.Equal(t, "created created created", outcomes(im.take(t, testFile(t, "02-nonlatin-handles"))))
	require.Len(t, im.products, 3)
	names := map[string]bool{}
	for slug, p := range im.products {
		require.NoError(t, checkSlug(slug))
		require.NotRegexp(t, "^hf02", slug, "it can be read")
		names[p.Name] = true
	}
	require.Equal(t, map[string]bool{"Red shirt": true, "Blue skirt": true, "Green jacket": true}, names)
}

// TestTwoTitles: a second title under one handle is another product, and takes nothing of the first.
func TestTwoTitles(t *testing.T) {
	t.Parallel()
	tee := "tee,Tee,,,,,TRUE,Size,S,T-S,10.00,5,,,active\n"
	cup := "tee,Cup,,,,,TRUE,Size,S,CUP,9.00,5,,,active\ntee,,,,,,,,M,CUP-M,9.00,5,,,\n"
	for name, between := range map[string]string{"together": "", "apart": "mug,Mug,,,,,TRUE,Title,Default Title,MUG,7.99,1,,,active\n"} {
		im := newImporter()
		results := im.take(t, header+tee+between+cup)
		refused := results[len(results)-2:]
		require.Equal(t, "refused refused", outcomes(refused), name)
		require.Equal(t, "the handle has another Title already, in line 2", refused[0].Reason)
		require.Contains(t, refused[1].Reason, "refused")
		require.Equal(t, "Tee", im.products["tee"].Name)
		require.Equal(t, map[string]string{"T-S": "S 10.00"}, skusOf(im.products["tee"]))
		require.Equal(t, "changed", outcomes(im.take(t, header+strings.Replace(tee, "Tee", "Shirt", 1))), "another file is another word")
	}
}

func TestMetafields(t *testing.T) {
	t.Parallel()
	im, file := newImporter(), testFile(t, "03-multiline-metafield")
	require.Equal(t, "created created", outcomes(im.take(t, file)))
	require.Equal(t, map[string]string{"Care": "Wash cold\nDry flat"}, im.products["hf03-jumper"].Attributes)
	require.Equal(t, "unchanged unchanged", outcomes(im.take(t, file)))

	results := im.take(t, strings.Replace(file, "Wash cold", strings.Repeat("x", maxAttribute), 1))
	require.Equal(t, "changed unchanged", outcomes(results), "a text that is too long costs itself")
	require.Contains(t, results[0].Notes[0], "Care not taken")
}

func TestWordsThatPublish(t *testing.T) {
	t.Parallel()
	im := newImporter()
	results := im.take(t, testFile(t, "04-published-localised"))
	require.Equal(t, "created created created created created", outcomes(results))
	for i, r := range results {
		require.Equal(t, Draft, im.products[r.Handle].Status, i)
		require.Contains(t, r.Notes[len(r.Notes)-1], "not published: Published is")
	}
	line := func(published, status string) string {
		return header + "tee,Tee,,,,," + published + ",Title,Default Title,T,10.00,5,,," + status + "\n"
	}
	for _, word := range []string{"TRUE", "true", "VRAI", "WAHR", "VERO", "VERDADERO", "1", "yes", "Oui", "ИСТИНА", "真", ""} {
		im := newImporter()
		require.Empty(t, im.take(t, line(word, "active"))[0].Notes, word)
		require.Equal(t, Published, im.products["tee"].Status, word)
		im.take(t, line("FALSE", "active"))
		require.Equal(t, Unlisted, im.products["tee"].Status)
		im.take(t, line("", ""))
		require.Equal(t, Unlisted, im.products["tee"].Status, "nothing is said")
	}
	for _, c := range []struct{ published, status, note string }{
		{"FALSE", "active", ""}, {"TRUE", "draft", ""}, {"TRUE", "archived", ""}, {"perhaps", "active", "Published is “perhaps”"},
		{"TRUE", "brouillon", "Status is “brouillon”"}, {"", "", "nothing says that it is"},
	} {
		im := newImporter()
		notes := strings.Join(im.take(t, line(c.published, c.status))[0].Notes, "; ")
		require.Equal(t, Draft, im.products["tee"].Status, c)
		require.Contains(t, notes, c.note)
		require.Equal(t, c.note == "", notes == "", notes)
	}
}

// TestBadVariants: SKUs of any sign are taken, and what is wrong with a variant costs that variant.
func TestBadVariants(t *testing.T) {
	t.Parallel()
	im := newImporter()
	require.Equal(t, "created created created", outcomes(im.take(t, testFile(t, "05-sku-space-slash"))))
	require.Equal(t, map[string]string{"Shoes - DZR - 41": "41 10.00", "HF05/42": "42 12.00", "HF05-43": "43 12.00"},
		skusOf(im.products["hf05-shoes"]))
	long := strings.Repeat("é", skus.Max)
	require.Equal(t, "created", outcomes(im.take(t, header+"long,Long,,,,,TRUE,Title,Default Title,"+long+",10.00,5,,,active\n")))

	file := header + "tee,Tee,<p>x</p>,,,,TRUE,Size,S,T-S,ten,5,,,active\ntee,,,,,,,,M,T-M,10.00,5,,,\n"
	results := im.take(t, file)
	require.Equal(t, "refused created", outcomes(results))
	require.Equal(t, []string{detailsTaken}, results[0].Notes)
	require.Equal(t, Published, im.products["tee"].Status)
	require.Equal(t, "<p>x</p>", im.products["tee"].Description)
	require.Equal(t, "refused unchanged", outcomes(im.take(t, file)))
}

func TestPriceOfZero(t *testing.T) {
	t.Parallel()
	im := newImporter()
	file := header + "tee,Tee,,,,,TRUE,Size,S,T-S,0.00,5,,,active\ntee,,,,,,,,M,T-M,10.00,5,,,\n"
	results := im.take(t, file)
	require.Equal(t, "created created", outcomes(results))
	require.Equal(t, []string{
		"a price of zero: not for sale yet", "not published: a price of zero means that it is not for sale yet",
	}, results[0].Notes)
	require.Equal(t, Draft, im.products["tee"].Status)
	require.Equal(t, "unchanged unchanged", outcomes(im.take(t, file)))

	priced := strings.Replace(file, "0.00,5,,,active", "9.00,5,,,active", 1)
	require.Equal(t, "changed unchanged", outcomes(im.take(t, priced)))
	require.Equal(t, Published, im.products["tee"].Status)
	results = im.take(t, file)
	require.Equal(t, "refused unchanged", outcomes(results), "on sale it keeps its price")
	require.Equal(t, int64(900), im.products["tee"].Variants[0].Price)
	require.Equal(t, "changed unchanged", outcomes(im.take(t, strings.Replace(file, "TRUE", "FALSE", 1))), "unless the file hides it")
	require.Equal(t, Unlisted, im.products["tee"].Status)
}

func TestBlocksInABody(t *testing.T) {
	t.Parallel()
	im := newImporter()
	im.take(t, testFile(t, "07-body-divs"))
	require.Equal(t, "Featherlight<br>Moisturewick<h2>Care</h2>Cold wash", im.products["hf07-towel"].Description)
}

// wide is a text in UTF-16.
func wide(order binary.AppendByteOrder, mark bool, text string) string {
	var out []byte
	if mark {
		text = byteOrderMark + text
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

// TestEncodings: one file, as many programs save it.
func TestEncodings(t *testing.T) {
	t.Parallel()
	text := header + "cafe,Café “Noir” 5€,,,,,TRUE,Title,Default Title,C-1,10.00,5,,,active\n" +
		"mug,Mug,,,,,TRUE,Title,Default Title,M-1,10.00,5,,,active\n"
	ansi := strings.NewReplacer("é", "\xe9", "“", "\x93", "”", "\x94", "€", "\x80").Replace(text)
	for name, file := range map[string]string{
		"UTF-8": text, "UTF-8 with a mark": byteOrderMark + text, "UTF-16": wide(binary.LittleEndian, true, text),
		"UTF-16, big": wide(binary.BigEndian, true, text), "UTF-16 without a mark": wide(binary.LittleEndian, false, text),
		"UTF-16, big, without a mark": wide(binary.BigEndian, false, text), "Windows-1252": ansi,
		"CR": strings.ReplaceAll(text, "\n", "\r"), "CRLF": strings.ReplaceAll(text, "\n", "\r\n"),
		"semicolons": strings.ReplaceAll(text, ",", ";"), "tabs": strings.ReplaceAll(text, ",", "\t"),
		"comma in a price":    strings.ReplaceAll(strings.ReplaceAll(text, ",", ";"), "10.00", "10,00"),
		"all of Excel's ways": strings.NewReplacer(",", ";", "\n", "\r\n").Replace(ansi),
	} {
		im := newImporter()
		require.Equal(t, "created created", outcomes(im.take(t, file)), name)
		require.Equal(t, "Café “Noir” 5€", im.products["cafe"].Name, name)
		require.Equal(t, int64(1000), im.products["cafe"].Variants[0].Price, name)
		require.Equal(t, 5, im.products["mug"].Variants[0].InitialStock, name)
	}
	require.Equal(t, "created", outcomes(newImporter().take(t, testFile(t, "08-cr-only"))))

	for name, file := range map[string]string{
		"two at once":   strings.Replace(ansi, "5", "é", 1),
		"Cyrillic":      strings.Replace(text, "Café", "\xca\xe0\xf4\xe5", 1), // Windows-1251
		"Japanese":      strings.Replace(text, "Café", "\x83\x4a\x81\x9b", 1), // Shift_JIS
		"old Macintosh": strings.ReplaceAll(strings.Replace(text, "Café", "Caf\x8e", 1), "\n", "\r"),
	} {
		_, err := readAll(t, strings.NewReplacer("“", "", "”", "", "€", "").Replace(file))
		require.ErrorIs(t, err, csvfile.ErrEncoding, name)
	}
	_, err := newGroupReader(strings.NewReader("Handle,Title,\x81\n"))
	var refused *problem.Error
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Fields()[0].Message, "Windows-1252")
	for _, size := range []int{4094, 4095, 4096, 4097, csvfile.MaxHead - 1, csvfile.MaxHead, csvfile.MaxHead + 1} { // where buffers end
		pad := header + "pad,Pad," + strings.Repeat("x", size-len(header)-8-6) + ",,,,TRUE,Title,Default Title,P,1.00,1,,,active\n"
		im := newImporter()
		im.take(t, pad+text[len(header):])
		require.Equal(t, "Café “Noir” 5€", im.products["cafe"].Name, size)
		im = newImporter()
		im.take(t, pad+ansi[len(header):])
		require.Equal(t, "Café “Noir” 5€", im.products["cafe"].Name, size)
	}
}

func TestQuantitiesAndShortRows(t *testing.T) {
	t.Parallel()
	im := newImporter()
	im.take(t, testFile(t, "10-quantity-decimal"))
	require.Equal(t, 10, im.products["hf10-x"].Variants[0].InitialStock)
	require.Equal(t, "created created", outcomes(im.take(t, header+"tee,Tee,,,,,TRUE,Size,S,T-S,10.00,5\ntee,,,,,,,,M,T-M,11.00\n")))
	require.Equal(t, map[string]string{"T-S": "S 10.00", "T-M": "M 11.00"}, skusOf(im.products["tee"]))
	require.Equal(t, "refused", outcomes(im.take(t, header+"tee,,,,,,,,M,T-M,11.00,,,,,,x\n")))
	require.Equal(t, "unchanged", outcomes(im.take(t, header+"tee,,,,,,,,M,T-M,11.00,,,,,,,,\n")), "too many, but empty")
}

// TestSwap: variants of one file may change their options with each other.
func TestSwap(t *testing.T) {
	t.Parallel()
	row := func(sku, size, price string) string {
		return "tee,,,,,,,," + size + "," + sku + "," + price + ",5,,,\n"
	}
	first := header + "tee,Tee,,,,,TRUE,Size,S,A,10.00,5,,,active\n" + row("B", "M", "10.00") + row("C", "L", "10.00")
	im := newImporter()
	im.take(t, first)
	results := im.take(t, header+"tee,Tee,,,,,TRUE,Size,M,A,10.00,5,,,active\n"+row("B", "L", "10.00")+row("C", "S", "10.00"))
	require.Equal(t, "changed changed changed", outcomes(results))
	require.Equal(t, []string{"its options were S"}, results[0].Notes)
	require.Equal(t, map[string]string{"A": "M 10.00", "B": "L 10.00", "C": "S 10.00"}, skusOf(im.products["tee"]))

	t.Log("one that cannot be taken keeps its place, and nobody else gets that")
	im = newImporter()
	im.take(t, first)
	results = im.take(t, header+row("A", "M", "9.00")+row("B", "L", "9.00")+row("C", "S", "x"))
	require.Equal(t, "refused refused refused", outcomes(results))
	require.Equal(t, "the variant C has these options", results[1].Reason)
	require.Equal(t, map[string]string{"A": "S 10.00", "B": "M 10.00", "C": "L 10.00"}, skusOf(im.products["tee"]))
}

func TestWeights(t *testing.T) {
	t.Parallel()
	im := newImporter()
	results := im.take(t, "Handle,Title,Variant SKU,Variant Price,Variant Grams\na,A,A,1.00,250.0\nb,B,B,1.00,heavy\n")
	require.Equal(t, 250, im.products["a"].Variants[0].Weight)
	require.Contains(t, strings.Join(results[1].Notes, "; "), "weight")
	im.take(t, "Handle,Variant SKU,Variant Price\na,A,2.00\n")
	require.Equal(t, 250, im.products["a"].Variants[0].Weight, "not said is not nothing")
}

const wooHeader = "ID,Type,SKU,Name,Published,Visibility in catalog,Short description,Description,Stock,Weight (kg),Sale price," +
	"Regular price,Categories,Tags,Images,Parent,Attribute 1 name,Attribute 1 value(s),Attribute 2 name,Attribute 2 value(s)\n"

func TestWooCommerce(t *testing.T) {
	t.Parallel()
	im := newImporter()
	file := wooHeader +
		`10,simple,MUG,Mug,1,visible,Holds tea,First line\nsecond\n\nNext,7,0.35,,12.50,` +
		`"Home > Mugs, Gifts","blue, tea",tee.svg,,Material,Clay,,` + "\n" +
		`11,variable,TEE,Tee,1,visible,,<p>Soft</p>,,,,,Clothes,,"tee.svg, https://x.example/y.png",,` +
		`Size,"S, M",Material,"Cotton, Wool"` + "\n" +
		`12,variation,TEE-S,Tee - S,1,visible,,,3,,8.00,10.00,,,,TEE,Size,S,,` + "\n" +
		`13,variation,,Tee - M,1,visible,,,parent,,,"11,50",,,tee.svg,id:11,Size,M,,` + "\n" +
		`14,simple,,Mug,0,visible,,,1,,,5,,,,,,,,` + "\n" +
		`15,grouped,G,Set,1,visible,,,,,,,,,,,,,,` + "\n" +
		`16,variation,X,Lost,1,visible,,,1,,,1,,,,id:99,Size,M,,` + "\n" +
		`17,"simple, virtual",V,Free,1,hidden,,,1,,,0,,,,,,,,` + "\n"
	results := im.take(t, file)
	require.Equal(t, "created created created created created refused refused created", outcomes(results))
	mug, tee := im.products["mug-10"], im.products["tee-11"]
	require.Equal(t, "<p>Holds tea</p><p>First line<br>second</p>\n<p>Next</p>", mug.Description)
	require.Equal(t, []string{"Gifts", "blue", "tea"}, mug.Tags)
	require.Equal(t, map[string]string{"Material": "Clay"}, mug.Attributes)
	require.Equal(t, []Variant{{SKU: "MUG", Options: []string{}, Price: 1250, InitialStock: 7, InStock: true, Weight: 350}}, mug.Variants)
	require.Equal(t, Published, mug.Status)
	require.Equal(t, []string{"Size"}, tee.OptionNames, "what its variations have; the rest are details")
	require.Equal(t, map[string]string{"Material": "Cotton, Wool"}, tee.Attributes)
	require.Equal(t, map[string]string{"TEE-S": "S 10.00", "TEE-11-M": "M 11.50"}, skusOf(tee))
	require.Equal(t, "/media/1.svg", tee.Variants[1].Image)
	require.Len(t, tee.Images, 1)
	require.Contains(t, results[2].Notes, "the sale price was not taken")
	require.Equal(t, Draft, im.products["mug-14"].Status, "another one of the name")
	require.Contains(t, results[6].Reason, "id:99")
	require.Equal(t, "unchanged unchanged unchanged unchanged unchanged refused refused unchanged", outcomes(im.take(t, file)))
}

// TestWooCommerceVariationsBelow: as its own exporter writes them, all products first.
func TestWooCommerceVariationsBelow(t *testing.T) {
	t.Parallel()
	im := newImporter()
	file := wooHeader +
		`11,variable,TEE,Tee,1,visible,,,,0.2,,,,,,,Color,"Blue, Red",Size,"S, M"` + "\n" +
		`12,variable,CAP,Cap,0,visible,,,,,,,,,,,Color,"Blue, Red",,` + "\n" +
		`13,variation,TEE-B,Tee,1,visible,,,3,,,10,,,,TEE,Color,Blue,Size,` + "\n" +
		`14,variation,CAP-B,Cap,1,visible,,,3,,,8,,,,CAP,Color,Blue,,` + "\n" +
		`15,variation,TEE-R,Tee,1,visible,,,3,0.3,,10,,,,id:11,Color,Red,Size,` + "\n"
	results := im.take(t, file)
	require.Equal(t, "created created created created created", outcomes(results))
	require.Empty(t, results[0].Notes)
	tee := im.products["tee-11"]
	require.Equal(t, Published, tee.Status)
	require.Equal(t, map[string]string{"TEE-B": "Blue / Any 10.00", "TEE-R": "Red / Any 10.00"}, skusOf(tee))
	require.Equal(t, []int{200, 300}, []int{tee.Variants[0].Weight, tee.Variants[1].Weight})
	require.Equal(t, Draft, im.products["cap-12"].Status)
	require.Equal(t, "unchanged unchanged unchanged unchanged unchanged", outcomes(im.take(t, file)))
}

// everything is a product file with all that is easily lost on the way.
func everything(t *testing.T) string {
	t.Helper()
	head := "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU," +
		"Variant Grams,Variant Inventory Qty,Variant Price,Image Src,Image Alt Text,Variant Image,Status,Care (product.metafields.custom.care)," +
		"\"=HYPERLINK(\"\"http://example.test\"\",\"\"x\"\") (product.metafields.custom.a)\"," +
		"Most (product.metafields.custom.max_per_shopper)\n"
	return head +
		"red,Red,,V,T,,TRUE,Size,S,,,RT-TEE,5,5,10.00,https://cdn.example.com/a.png,One,,active,,,\n" +
		"red,,,,,,,,M,,,RT-TEE,5,5,12.00,https://cdn.example.com/b.png,-Two,https://cdn.example.com/b.png,,,,\n" +
		"red,,,,,,,,L,,,RT-TEE,5,5,99.00,,,,,,,\n" +
		"рубашка,'=Рубашка,<div>a</div><h1>b</h1>,'@V,Ä > =B,\"b, =a\",VRAI,Цвет,Красный,Size,+,,,1,10.00,,,,active," +
		"\"Wash cold\nDry flat\",'-x,3\n" +
		"рубашка,,,,,,,,Красный,,-,,,1,10.00,,,,,,,\n" +
		"рубашка,,,,,,,,Синий,,1/2,,,1,10.00,,,,,,,\n" +
		"café-x,Café,,,,,TRUE,Title,Default Title,,,RT / 42 + ü,,1,10.00,,,,active,,=1+1,\n" +
		"cafe-x,Cafe,,,,,TRUE,Title,Default Title,,,''RT,,1,10.00,,,,active,,,\n" +
		"formula,Formula,,,,,TRUE,Title,Default Title,,,'=RT,,1.0,10.00,,,,active,,,\n" +
		"soon,Soon,,,,,TRUE,Title,Default Title,,,RT-SOON,,7,0.00,,,,active,,,\n" +
		"hidden,Hidden,,,,,FAUX,Title,Default Title,,,RT-HIDDEN,1250,8,10.00,,,,active,,,\n" +
		"later,Later,,,,,TRUE,,,,,,,,,https://cdn.example.com/c.png,Three,,active,,,\n"
}

// TestRoundTrip: an export that is brought in changes nothing here, makes the same catalogue in an empty shop, and is the
// same file there.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	here, there := setup(t), setup(t)
	report := here.importFile("", everything(t))
	require.Equal(t, ImportReport{Rows: report.Rows, Created: 12, Complete: true}, report, "%+v", report.Rows)
	for i, r := range report.Rows {
		stand.has(r.SKU, int64(i))
	}
	slug := report.Rows[6].Handle
	require.NotEqual(t, "cafe-x", slug)
	var page PublicProduct
	here.do("GET", "/api/v1/products/"+slug, "", nil, 200).JSON(t, &page)
	here.do("DELETE", adminPath+"/"+page.ID.String()+"/publication", here.admin, nil, 200) // unlisted is not for sale elsewhere either

	export := func(b *bench) string {
		return string(b.do("GET", adminPath+"/export", b.admin, nil, 200).Body)
	}
	file := export(here)
	again := here.importFile("", file)
	require.Equal(t, ImportReport{Rows: again.Rows, Unchanged: 12, Complete: true}, again, "%+v\n%s", again.Rows, file)
	require.Equal(t, file, export(here))

	moved := there.importFile("", file)
	require.Equal(t, ImportReport{Rows: moved.Rows, Created: 12, Complete: true}, moved, "%+v\n%s", moved.Rows, file)
	require.Equal(t, file, export(there))
	for _, formula := range []string{`,=`, `,"=`, `,@`, `,+`, "\n=", `"=HYP`} {
		require.NotContains(t, file, formula)
	}
	require.True(t, strings.HasPrefix(file, byteOrderMark+"Handle,"))
}

// TestSKUOfAnySign goes with one through all that products does with it.
func TestSKUOfAnySign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const sku = "Any / +ü% 41"
	file := header + "any,Any,,,,,TRUE,Title,Default Title," + sku + ",10.00,5,,,active\n" +
		"any-draft,Any,,,,,FALSE,Size,S,~x,10.00,5,,,draft\nany-draft,,,,,,,,M,..,10.00,5,,,\n"
	report := b.importFile("", file)
	require.Equal(t, 3, report.Created, "%+v", report.Rows)
	stand.has(sku, 5)
	require.Equal(t, 1, b.importFile("?set_stock=true", file).Changed)
	require.Equal(t, int64(5), stand.set[sku])
	var list struct{ Items []AdminSummary }
	b.do("GET", adminPath+"?status=draft", b.admin, nil, 200).JSON(t, &list)
	at := adminPath + "/" + list.Items[0].ID.String() + "/variants/"
	b.do("DELETE", at+"~_w", b.admin, nil, 422)
	b.do("DELETE", at+skus.Segment("~x"), b.admin, nil, 200)
	b.do("DELETE", at+skus.Segment(".."), b.admin, nil, 200)
	var found struct{ Items []VariantItem }
	b.do("POST", "/internal/variants", "", object{"skus": []string{sku}}, 200, "dapr-caller-app-id", "orders").JSON(t, &found)
	require.Equal(t, "any", found.Items[0].Slug)
}
