-- +goose Up
-- ending: of who has left, or is shut out, until inventory has taken back what it holds.
ALTER TABLE claims
    DROP CONSTRAINT claims_state_check,
    ADD CONSTRAINT claims_state_check
        CHECK (state IN ('drawn', 'asked', 'held', 'standby', 'offered', 'bought', 'lapsed', 'refused', 'ending'));
CREATE INDEX claims_ending ON claims (drop_id, until) WHERE state = 'ending';
