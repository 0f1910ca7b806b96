-- +goose Up
-- Whoever placed the order has deleted the account, and it has ended: who that was is not kept since then. The order stays, for
-- the books. Neighbours read which ones by cursor (kit/feed).
ALTER TABLE orders ADD COLUMN forgotten_at timestamptz;
CREATE INDEX orders_forgotten ON orders (forgotten_at, (id::text)) WHERE forgotten_at IS NOT NULL;

-- Accounts that are gone, and when to look next which of their orders have ended; NULL: there are none any more.
ALTER TABLE standings
    ADD COLUMN removed_at timestamptz,
    ADD COLUMN look_at    timestamptz;
CREATE INDEX standings_look ON standings (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX standings_removed ON standings (removed_at) WHERE removed_at IS NOT NULL AND look_at IS NULL;
