package main

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
)

// carriers are the pages on which carriers tell where a parcel is, by the carrier's name in small letters.
// trackingNumber stands in them for the number.
type carriers map[string]string

const trackingNumber = "{number}"

// knownCarriers are those whose pages every shop knows, as the carriers' own sites have them.
var knownCarriers = carriers{
	"royal mail": "https://www.royalmail.com/track-your-item#/tracking-results/{number}",
	"dhl":        "https://www.dhl.com/global-en/home/tracking.html?tracking-id={number}",
	"ups":        "https://www.ups.com/track?tracknum={number}",
	"fedex":      "https://www.fedex.com/fedextrack/?trknbr={number}",
	"usps":       "https://tools.usps.com/go/TrackConfirmAction?tLabels={number}",
}

// parseCarriers reads "Royal Mail=https://…{number}", one carrier each, beside the known ones.
func parseCarriers(list []string) (carriers, error) {
	c := maps.Clone(knownCarriers)
	for _, text := range list {
		name, page, _ := strings.Cut(text, "=")
		u, err := url.Parse(page)
		if strings.TrimSpace(name) == "" || err != nil || u.Scheme != "https" || u.Host == "" || !strings.Contains(page, trackingNumber) {
			return nil, fmt.Errorf("CARRIERS: %q is not a carrier's name, = and an https address with %s in it", text, trackingNumber)
		}
		c[carrierKey(name)] = page
	}
	return c, nil
}

// shipment is what the shop says about a parcel, with the carrier's page about it when that is known.
func (c carriers) shipment(carrier, number string) Shipment {
	s := Shipment{Carrier: carrier, TrackingNumber: number}
	if page, ok := c[carrierKey(s.Carrier)]; ok {
		page = strings.ReplaceAll(page, trackingNumber, url.QueryEscape(s.TrackingNumber))
		s.TrackingURL = &page
	}
	return s
}

func carrierKey(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
