package main

import (
	"vicreg/scripts/bench/peer"
	"vicreg/scripts/bench/steps"
)

// The sides, in the order of their turns.
const (
	alone = iota
	together
	torch
	ddp
)

// answer is a side's result of a step. The exchange fields are zero for most sides.
type answer struct {
	Ms, Loss        float64
	ExchangeMs      float64 `json:"exchange_ms"`
	LeastExchangeMs float64 `json:"least_exchange_ms"`
	Exchanges       float64
	ExchangedBytes  float64 `json:"exchanged_bytes"`
}

// rounds are the answers of all sides, by round.
type rounds [][]answer

// take runs all sides in turns, step by step.
func take(sides []steps.Side, count int) (all rounds, err error) {
	var running []*peer.Process
	defer func() {
		for _, p := range running {
			p.Stop()
		}
	}()
	for _, s := range sides {
		p, err := s.Start()
		if err != nil {
			return nil, err
		}
		running = append(running, p)
	}
	for round := range count + 1 {
		answers := make([]answer, len(running))
		for i, p := range running {
			if err := p.Ask("step", &answers[i]); err != nil {
				return nil, err
			}
		}
		if round > 0 { // the first is warm-up
			all = append(all, answers)
		}
	}
	return all, nil
}

// of returns one number of a side's answers, by round.
func (r rounds) of(side int, number func(answer) float64) (all []float64) {
	for _, answers := range r {
		all = append(all, number(answers[side]))
	}
	return all
}

// ratio returns the time of one side divided by that of another, by round.
func (r rounds) ratio(one, other int) (all []float64) {
	for _, answers := range r {
		all = append(all, answers[one].Ms/answers[other].Ms)
	}
	return all
}
