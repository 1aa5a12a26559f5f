//! I1: stock on hand is what came in, less what was sold, plus what was cancelled; orders are the sum of their lines.
//! A sale's ledger row is its order line.

use super::probe::Probe;

pub const PROBES: &[Probe] = &[
    STOCK,
    UNKNOWN_PRODUCTS,
    TOTALS,
    LINES,
    DISCOUNTS,
    CANCELS,
    STRAY_CANCELS,
];

// Summed and not joined: with a million products MariaDB is three times as long about the joins.
const STOCK: Probe = Probe {
    invariant: "I1",
    name: "stock",
    examined: "SELECT COUNT(*) FROM products",
    differing: "SELECT u.product_id AS a, 0 AS b, SUM(u.moved) AS c, SUM(u.stock) AS d FROM (
            SELECT id AS product_id, 0 AS moved, stock, 1 AS known FROM products
            UNION ALL SELECT product_id, SUM(delta) AS moved, 0 AS stock, 0 AS known FROM stock_ledger GROUP BY product_id
            UNION ALL SELECT product_id, -SUM(quantity) AS moved, 0 AS stock, 0 AS known FROM order_lines GROUP BY product_id
        ) u GROUP BY u.product_id
        HAVING SUM(u.known) > 0 AND (SUM(u.stock) < 0 OR SUM(u.stock) <> SUM(u.moved))",
    subject: "product {a}",
    expected: "stock {c}",
    found: "stock {d}",
};

const UNKNOWN_PRODUCTS: Probe = Probe {
    invariant: "I1",
    name: "products of the ledger",
    examined: "SELECT COUNT(DISTINCT product_id) FROM stock_ledger",
    differing: "SELECT u.product_id AS a, 0 AS b, 0 AS c, 0 AS d FROM (
            SELECT product_id FROM stock_ledger UNION SELECT product_id FROM order_lines
        ) u LEFT JOIN products p ON p.id = u.product_id WHERE p.id IS NULL",
    subject: "product {a}",
    expected: "a row in products",
    found: "none",
};

// Grouped by the primary key alone: more columns would put a million groups into a temporary table.
const TOTALS: Probe = Probe {
    invariant: "I1",
    name: "order totals",
    examined: "SELECT COUNT(*) FROM orders",
    differing:
        "SELECT o.id AS a, 0 AS b, COALESCE(SUM(l.total_price), 0) AS c, MAX(o.total_amount) AS d
        FROM orders o LEFT JOIN order_lines l ON l.order_id = o.id
        GROUP BY o.id HAVING COUNT(l.id) = 0 OR SUM(l.total_price) <> MAX(o.total_amount)",
    subject: "order {a}",
    expected: "total {c}, the sum of its lines (one at least)",
    found: "total {d}",
};

const LINES: Probe = Probe {
    invariant: "I1",
    name: "order lines",
    examined: "SELECT COUNT(*) FROM order_lines",
    differing:
        "SELECT l.order_id AS a, l.id AS b, l.quantity * l.unit_price AS c, l.total_price AS d
        FROM order_lines l LEFT JOIN orders o ON o.id = l.order_id
        WHERE o.id IS NULL OR l.quantity < 1 OR l.total_price <> l.quantity * l.unit_price",
    subject: "order {a} line {b}",
    expected: "an order, a quantity of 1 or more, total price {c}",
    found: "total price {d}",
};

const DISCOUNTS: Probe = Probe {
    invariant: "I1",
    name: "order discounts",
    examined: "SELECT COUNT(*) FROM orders",
    differing: "SELECT id AS a, discount_amount AS b, total_amount - discount_amount AS c, discounted_amount AS d
        FROM orders WHERE discount_amount < 0 OR discounted_amount < 0
            OR discounted_amount <> total_amount - discount_amount OR status NOT IN ('COMPLETED', 'CANCELLED')",
    subject: "order {a}",
    expected: "completed or cancelled, {c} after a discount of {b}",
    found: "{d}",
};

const CANCELS: Probe = Probe {
    invariant: "I1",
    name: "stock given back",
    examined: "SELECT COUNT(*) FROM orders WHERE status = 'CANCELLED'",
    differing: "SELECT o.id AS a, l.product_id AS b, SUM(l.quantity) AS c, COALESCE(s.delta, 0) AS d
        FROM orders o JOIN order_lines l ON l.order_id = o.id
        LEFT JOIN stock_ledger s ON s.order_id = o.id AND s.product_id = l.product_id AND s.kind = 'CANCEL'
        WHERE o.status = 'CANCELLED'
        GROUP BY o.id, l.product_id, s.delta HAVING SUM(l.quantity) <> COALESCE(s.delta, 0)",
    subject: "cancelled order {a}, product {b}",
    expected: "{c} given back",
    found: "{d}",
};

const STRAY_CANCELS: Probe = Probe {
    invariant: "I1",
    name: "stock given back for a reason",
    examined: "SELECT COUNT(*) FROM stock_ledger WHERE kind = 'CANCEL'",
    differing: "SELECT s.id AS a, s.order_id AS b, s.product_id AS c, s.delta AS d
        FROM stock_ledger s LEFT JOIN orders o ON o.id = s.order_id AND o.status = 'CANCELLED'
        WHERE s.kind = 'CANCEL' AND (o.id IS NULL
            OR NOT EXISTS (SELECT 1 FROM order_lines l WHERE l.order_id = s.order_id AND l.product_id = s.product_id))",
    subject: "stock entry {a}",
    expected: "a cancelled order {b} with a line of product {c}",
    found: "{d} given back without",
};
