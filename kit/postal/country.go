package postal

import (
	_ "embed" // for the table
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Country is how addresses are written in a country.
type Country struct {
	Code       string // ISO 3166-1 alpha-2
	City       Field
	Region     Field
	PostalCode Field
	Example    string   // of a postcode
	Regions    []Region // to choose from; empty when any will do

	postcodes *regexp.Regexp // nil: any
}

// Field is one that not every country's addresses have.
type Field struct {
	Label  string // in English, as the country calls it
	Shown  bool   // addresses have it
	Wanted bool   // no parcel arrives without it
}

// Region is a part of a country that stands in addresses.
type Region struct {
	Code string // as the post knows it
	Name string // in Latin letters where that is known

	names     []string
	postcodes *regexp.Regexp // nil: any
}

// Value is what stands in an address: the code where people write that.
func (r Region) Value(c Country) string {
	if slices.Contains(withCodes, c.Code) {
		return r.Code
	}
	return r.Name
}

// withCodes are the countries whose addresses have the code of a state or province.
var withCodes = []string{"AU", "BR", "CA", "IT", "US"}

// Spec is a country in countries.json, in the terms of Google's Address Data Service: a format with %A for the street, %C
// for the city, %S for the region and %Z for the postcode, and the letters of those that are required.
type Spec struct {
	Format       string       `json:"format"`
	Required     string       `json:"required"`
	Postcode     string       `json:"postcode,omitempty"` // a regular expression of the whole
	Example      string       `json:"example,omitempty"`
	PostcodeName string       `json:"postcode_name,omitempty"`
	CityName     string       `json:"city_name,omitempty"`
	RegionName   string       `json:"region_name,omitempty"`
	Regions      []RegionSpec `json:"regions,omitempty"`
}

// RegionSpec is a region in countries.json.
type RegionSpec struct {
	Code     string   `json:"code"`
	Names    []string `json:"names,omitempty"`
	Postcode string   `json:"postcode,omitempty"` // a regular expression of how they begin
}

//go:embed countries.json
var table []byte

// specs are the countries as the table has them.
var specs = sync.OnceValue(func() map[string]Spec {
	var all map[string]Spec
	if err := json.Unmarshal(table, &all); err != nil {
		panic("postal: countries.json: " + err.Error())
	}
	return all
})

var known sync.Map // the countries that were asked for, by code

// Of is how addresses are written in a country; false when there is no country of that code.
func Of(code string) (Country, bool) {
	if c, ok := known.Load(code); ok {
		return c.(Country), true
	}
	spec, ok := specs()[code]
	if !ok {
		return Country{}, false
	}
	c, _ := known.LoadOrStore(code, read(code, spec))
	return c.(Country), true
}

func read(code string, s Spec) Country {
	field := func(letter, name, usual string) Field {
		label, ok := labels[name]
		if !ok {
			label = usual
		}
		return Field{Label: label, Shown: strings.Contains(s.Format, "%"+letter), Wanted: strings.Contains(s.Required, letter)}
	}
	c := Country{
		Code: code, Example: s.Example,
		City:       field("C", s.CityName, "Town or city"),
		Region:     field("S", s.RegionName, "Province"),
		PostalCode: field("Z", s.PostcodeName, "Postcode"),
		postcodes:  pattern(s.Postcode, "$"),
	}
	for _, r := range s.Regions {
		name := r.Code
		if len(r.Names) > 0 {
			name = r.Names[0]
		}
		c.Regions = append(c.Regions, Region{Code: r.Code, Name: name, names: append(r.Names, r.Code), postcodes: pattern(r.Postcode, "")})
	}
	slices.SortStableFunc(c.Regions, func(a, b Region) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// labels are what people call the parts of an address, by the table's names.
var labels = map[string]string{
	"area": "Area", "county": "County", "department": "Department", "district": "District", "do_si": "Province",
	"emirate": "Emirate", "island": "Island", "oblast": "Oblast", "parish": "Parish", "prefecture": "Prefecture",
	"province": "Province", "state": "State", "suburb": "Suburb or town",
	"eircode": "Eircode", "pin": "PIN code", "zip": "ZIP code",
}

func pattern(s, end string) *regexp.Regexp {
	if s == "" {
		return nil
	}
	return regexp.MustCompile("^(?:" + s + ")" + end)
}

// Is tells whether a region is meant by what an address says: its code or one of its names.
func (r Region) Is(s string) bool {
	return slices.ContainsFunc(r.names, func(name string) bool {
		return strings.EqualFold(name, s) || strings.EqualFold(strings.TrimPrefix(name, "Co. "), s) // of Ireland
	})
}

// region finds a region by its code or by one of its names; nil when there is none.
func (c Country) region(s string) *Region {
	for i, r := range c.Regions {
		if r.Is(s) {
			return &c.Regions[i]
		}
	}
	return nil
}

func (c Country) postcode(s string) bool { return c.postcodes == nil || c.postcodes.MatchString(s) }

func (r Region) postcode(s string) bool { return r.postcodes == nil || r.postcodes.MatchString(s) }
