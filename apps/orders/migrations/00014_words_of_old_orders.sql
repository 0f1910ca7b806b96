-- +goose Up
-- The orders of before, whose words are written in the background. Apart from the trigger, whose lock would be held meanwhile.
INSERT INTO order_words (order_id) SELECT id FROM orders ON CONFLICT DO NOTHING;
