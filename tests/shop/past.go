package shop

import "strings"

// PastOrder is the file of one order of another shop, as Shopify writes it: two lamps and a cord, £34.50.
func PastOrder(number, email, name, street, phone string) string {
	header := "Name,Email,Financial Status,Fulfillment Status,Currency,Subtotal,Shipping,Taxes,Total,Created at,Lineitem quantity," +
		"Lineitem name,Lineitem price,Lineitem sku,Shipping Name,Shipping Address1,Shipping City,Shipping Zip,Shipping Country," +
		"Shipping Phone"
	first := []string{
		number, email, "paid", "fulfilled", "GBP", "30.00", "4.50", "5.75", "34.50", "2024-03-05 14:02:11 +0100", "2",
		"Old lamp", "11.00", "OLD-1", name, street, "Leeds", "LS1 1AA", "GB", phone,
	}
	second := make([]string, len(first))
	second[0], second[10], second[11], second[12] = number, "1", "Old cord", "8.00"
	return header + "\n" + strings.Join(first, ",") + "\n" + strings.Join(second, ",") + "\n"
}
