-- +goose Up
-- What the back office finds an order by: the folded words of the buyer's name and address for mails, of what was bought and
-- of the parcel (kit/text). null: to be written, soon. They stand apart from the order, whose row changes often, and are
-- written after it, by whichever instance comes first, so that nobody who orders waits for them.
CREATE TABLE order_words (
    order_id  uuid PRIMARY KEY,
    words     tsvector
);
CREATE INDEX order_words_due ON order_words (order_id) WHERE words IS NULL;
CREATE INDEX order_words_found ON order_words USING gin (words);

-- A trigger, so that it holds for every order whoever writes it: instances of before, imports, what is forgotten of a person.
-- +goose StatementBegin
CREATE FUNCTION words_of_new_orders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO order_words (order_id) SELECT id FROM placed ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION words_of_changed_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Also when they are null: they may be just being written, which this waits for.
    UPDATE order_words SET words = NULL WHERE order_id = NEW.id;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER order_words_new AFTER INSERT ON orders
    REFERENCING NEW TABLE AS placed FOR EACH STATEMENT EXECUTE FUNCTION words_of_new_orders();
CREATE TRIGGER order_words_changed AFTER UPDATE OF email, first_name, address, tracking_number ON orders FOR EACH ROW
    WHEN (OLD.email IS DISTINCT FROM NEW.email OR OLD.first_name IS DISTINCT FROM NEW.first_name
        OR OLD.address IS DISTINCT FROM NEW.address OR OLD.tracking_number IS DISTINCT FROM NEW.tracking_number)
    EXECUTE FUNCTION words_of_changed_order();
