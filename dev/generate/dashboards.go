package main

import "github.com/stampede-shop/stampede/deploy/observe"

// dashboards writes those of deploy/observe.
func (s *shop) dashboards(g *generated) error {
	for _, d := range observe.Dashboards() {
		text, err := d.JSON()
		if err != nil {
			return err
		}
		g.put("deploy/observe/dashboards/"+d.Name+".json", string(text))
	}
	return nil
}
