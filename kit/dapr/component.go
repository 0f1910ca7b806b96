package dapr

import (
	"context"
	"fmt"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
)

// ComponentType asks the sidecar of which type the component name is, for
// instance "bindings.smtp"; "" when it has none of that name.
func (c *Client) ComponentType(ctx context.Context, name string) (string, error) {
	md, err := c.raw.GetMetadata(ctx, &runtimev1.GetMetadataRequest{})
	if err != nil {
		return "", fmt.Errorf("component %s: %w", name, err)
	}
	for _, r := range md.GetRegisteredComponents() {
		if r.GetName() == name {
			return r.GetType(), nil
		}
	}
	return "", nil
}
