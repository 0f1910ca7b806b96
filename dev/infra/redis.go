package infra

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

func (s Servers) redis() (supervise.Process, error) {
	dir := filepath.Join(s.Data, "redis")
	conf := filepath.Join(dir, "redis.conf")
	text := strings.Join([]string{
		"bind 127.0.0.1",
		"port " + strconv.Itoa(s.Port(stack.PortRedis)),
		"requirepass " + s.Settings.Get("REDIS_PASSWORD"),
		"dir " + dir,
		"appendonly yes",
		"appendfsync everysec",
		`save ""`,
		// Carts live here: full means an error, never a cart thrown away.
		"maxmemory 512mb",
		"maxmemory-policy noeviction",
		"",
	}, "\n")
	if err := ownedFile(conf, text, "redis"); err != nil {
		return supervise.Process{}, err
	}
	program, err := exec.LookPath("redis-server")
	return supervise.Process{
		Args: []string{program, conf}, Dir: dir, Env: stack.Environment(), User: "redis",
		Patience: 10 * time.Second, Stage: stack.StageStore,
		Health: "tcp:" + s.At(stack.PortRedis), Stamp: supervise.Digest(text),
	}, err
}

// redisSay gives Redis commands, by its input: what its arguments are, everybody on the machine can see.
func (s Servers) redisSay(ctx context.Context, commands string) error {
	_, port, _ := strings.Cut(s.Settings.Get("REDIS_HOST"), ":")
	cmd := exec.CommandContext(ctx, "redis-cli", "-p", port, "-e")
	cmd.Stdin = strings.NewReader(commands)
	cmd.Env = append(stack.Environment(), "REDISCLI_AUTH="+s.Settings.Get("REDIS_PASSWORD"))
	out, err := cmd.CombinedOutput()
	if err == nil && strings.TrimSpace(string(out)) != "OK" {
		err = errors.New("refused")
	}
	if err != nil {
		return fmt.Errorf("redis-cli: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// redisWaiting counts what groups have not acknowledged, and one for each that
// has not been given all that its stream has.
func (s Servers) redisWaiting(ctx context.Context) (int, error) {
	topics, err := s.topics()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, topic := range topics {
		var stream struct {
			Last string `json:"last-generated-id"`
		}
		var groups []struct {
			Pending int    `json:"pending"`
			Last    string `json:"last-delivered-id"`
		}
		if err := s.redisAsk(ctx, &stream, "XINFO", "STREAM", topic); errors.Is(err, errNoKey) {
			continue
		} else if err != nil {
			return 0, err
		}
		if err := s.redisAsk(ctx, &groups, "XINFO", "GROUPS", topic); err != nil {
			return 0, err
		}
		for _, g := range groups {
			total += g.Pending
			if g.Last != stream.Last {
				total++
			}
		}
	}
	return total, nil
}

var errNoKey = errors.New("no such key")

func (s Servers) redisAsk(ctx context.Context, answer any, args ...string) error {
	_, port, _ := strings.Cut(s.Settings.Get("REDIS_HOST"), ":")
	cmd := exec.CommandContext(ctx, "redis-cli", append([]string{"-p", port, "--json"}, args...)...)
	cmd.Env = append(stack.Environment(), "REDISCLI_AUTH="+s.Settings.Get("REDIS_PASSWORD"))
	out, err := cmd.Output()
	if strings.Contains(string(out), "no such key") {
		return errNoKey
	}
	if err == nil {
		err = json.Unmarshal(out, answer)
	}
	if err != nil {
		return fmt.Errorf("redis-cli %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
