package shop

import "github.com/meridian-gtm/meridian/demo/shop/store"

// Tables describes the shop's data, once for all engines. Money is in minor units, time in unix milliseconds. Every
// id of a regional row starts with its region.
func Tables() []store.Table {
	text := func(name string) store.Column { return store.Column{Name: name, Type: store.Text} }
	number := func(name, check string) store.Column {
		return store.Column{Name: name, Type: store.Int, Check: check}
	}
	product := store.Ref{Columns: []string{"sku"}, Table: "products", Key: []string{"sku"}}
	order := store.Ref{Columns: []string{"region", "order_id"}, Table: "orders", Key: []string{"region", "id"}}
	return []store.Table{
		{
			Name: "products", Scope: store.Global, Key: []string{"sku"},
			Columns: []store.Column{text("sku"), text("name"), text("category"), text("blurb"), number("price", "price >= 0")},
		},
		{
			Name: "stock", Key: []string{"region", "sku"}, Refs: []store.Ref{product},
			Columns: []store.Column{text("region"), text("sku"), number("on_hand", "on_hand >= 0"), number("reserved", "reserved >= 0")},
			Checks:  []string{"reserved <= on_hand"},
		},
		{ // every change of stock, with the order that it was for
			Name: "stock_moves", Key: []string{"region", "id"},
			Columns: []store.Column{
				text("region"), text("id"), text("sku"), text("order_id"), text("kind"),
				number("on_hand", ""), number("reserved", ""), number("at_ms", ""),
			},
			Indexes: []store.Index{{Name: "by_order", Columns: []string{"region", "order_id"}}},
		},
		{
			Name: "cart_lines", Key: []string{"region", "cart_id", "sku"}, Refs: []store.Ref{product},
			Columns: []store.Column{text("region"), text("cart_id"), text("sku"), number("quantity", "quantity > 0"), number("updated_ms", "")},
		},
		{ // changed_ms never goes back
			Name: "orders", Key: []string{"region", "id"},
			Columns: []store.Column{
				text("region"), text("id"), text("key"), text("taken_by"), text("customer"), number("total", "total >= 0"),
				text("status"), number("steps", "steps > 0"), number("created_ms", ""), number("changed_ms", ""),
			},
			Indexes: []store.Index{{Name: "by_time", Columns: []string{"region", "created_ms"}}},
		},
		{
			Name: "order_lines", Key: []string{"region", "order_id", "sku"}, Refs: []store.Ref{product, order},
			Columns: []store.Column{text("region"), text("order_id"), text("sku"), number("quantity", "quantity > 0"), number("price", "price >= 0")},
		},
		{ // every status an order ever had; step counts from 1
			Name: "order_history", Key: []string{"region", "order_id", "step"}, Refs: []store.Ref{order},
			Columns: []store.Column{text("region"), text("order_id"), number("step", "step > 0"), text("status"), number("at_ms", "")},
		},
		{ // digest is the SHA-256 of the order that the key was first used for
			Name: "idempotency", Key: []string{"region", "key"}, Refs: []store.Ref{order},
			Columns: []store.Column{
				text("region"), text("key"), {Name: "digest", Type: store.Bytes}, text("order_id"), number("created_ms", ""),
			},
		},
		{ // what has to be done next for an order outside of the database
			Name: "sagas", Key: []string{"region", "order_id"}, Refs: []store.Ref{order},
			Columns: []store.Column{text("region"), text("order_id"), text("step"), number("attempts", "attempts >= 0"), number("due_ms", "")},
			Indexes: []store.Index{{Name: "by_step", Columns: []string{"region", "step", "due_ms"}}},
		},
		{ // double entry: the amounts of one entry sum to zero
			Name: "ledger", Key: []string{"region", "entry_id", "account"}, Refs: []store.Ref{order},
			Columns: []store.Column{text("region"), text("entry_id"), text("account"), text("order_id"), number("amount", ""), number("at_ms", "")},
		},
		{ // written with the change that it tells of; published by the relay
			Name: "outbox", Key: []string{"region", "order_id", "step"}, Refs: []store.Ref{order},
			Columns: []store.Column{
				text("region"), text("order_id"), number("step", "step > 0"), text("kind"), number("at_ms", ""), number("published", "published IN (0, 1)"),
			},
			Indexes: []store.Index{{Name: "by_time", Columns: []string{"region", "published", "at_ms", "order_id", "step"}}},
		},
		{ // the message bus: a log per region. It knows nothing of orders and trusts nobody's word on who leads.
			Name: "bus", Key: []string{"region", "position"},
			Columns: []store.Column{
				text("region"), number("position", "position > 0"), text("order_id"), number("step", "step > 0"), text("kind"), number("token", "token > 0"), number("at_ms", ""),
			},
		},
		{ // the end of each region's log, and the highest fencing token that wrote to it
			Name: "bus_ends", Key: []string{"region"},
			Columns: []store.Column{text("region"), number("position", ""), number("token", "")},
		},
		{ // how far each consumer has read
			Name: "cursors", Key: []string{"region", "consumer"},
			Columns: []store.Column{text("region"), text("consumer"), number("position", "")},
		},
		{ // what each consumer has dealt with
			Name: "inbox", Key: []string{"region", "consumer", "order_id", "step"},
			Columns: []store.Column{text("region"), text("consumer"), text("order_id"), number("step", ""), number("at_ms", "")},
		},
		{ // letters to customers
			Name: "mails", Key: []string{"region", "id"},
			Columns: []store.Column{text("region"), text("id"), text("order_id"), text("kind"), number("at_ms", "")},
			Indexes: []store.Index{{Name: "by_order", Columns: []string{"region", "order_id"}}},
		},
		{
			Name: "leases", Key: []string{"region", "name"},
			Columns: []store.Column{text("region"), text("name"), text("owner"), number("token", "token > 0"), number("until_ms", "")},
		},
		{ // proof that a replica can write
			Name: "heartbeats", Key: []string{"region", "replica"},
			Columns: []store.Column{text("region"), text("replica"), number("at_ms", "")},
		},
	}
}
