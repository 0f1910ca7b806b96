package main

import "math"

// stream is a source of chance (SplitMix64; Steele, Lea and Flood, 2014). Everybody has their own, so that what one shopper
// does differently changes nothing of what the others do.
type stream uint64

func (s *stream) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unit is from 0 to below 1.
func (s *stream) unit() float64 { return float64(s.next()>>11) / (1 << 53) }

func (s *stream) is(probability float64) bool { return s.unit() < probability }

func (s *stream) between(from, to float64) float64 { return from + (to-from)*s.unit() }

// exp is exponentially distributed.
func (s *stream) exp(mean float64) float64 { return -mean * math.Log(1-s.unit()) }

// around has a median and a long tail to the right, as what people take their time for: log-normal.
func (s *stream) around(median, sigma float64) float64 {
	normal := math.Sqrt(-2*math.Log(1-s.unit())) * math.Cos(2*math.Pi*s.unit())
	return median * math.Exp(sigma*normal)
}

// ms are milliseconds since the opening.
type ms = int64

const second ms = 1000

func seconds(s float64) ms { return ms(s * 1000) }

// event is something that happens to somebody, or to the shop.
type event struct {
	at  ms
	who int32
	do  action
}

// queue has the events to come: a heap of four children a node, with the next one first.
type queue []event

func (q *queue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if h[up].at <= e.at {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	*q = h
}

func (q *queue) pop() event {
	h := *q
	first, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	if len(h) == 0 {
		return first
	}
	i := 0
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, len(h)); c++ {
			if h[c].at < h[least].at {
				least = c
			}
		}
		if h[least].at >= last.at {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return first
}
