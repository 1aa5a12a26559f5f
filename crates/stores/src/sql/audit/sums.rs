//! The sums that must hold, each as a statement that finds what breaks it.
//! A sale's row is the order's line: the stock ledger holds everything else.

pub struct Check {
    pub sql: &'static str,
    /// What a row says: one `{}` a column.
    pub words: &'static str,
}

pub const CHECKS: [Check; 8] = [
    Check {
        sql: "SELECT p.id, p.stock, CAST(COALESCE(l.put, 0) AS SIGNED INTEGER), CAST(COALESCE(s.sold, 0) AS SIGNED INTEGER)
            FROM products p
            LEFT JOIN (SELECT product_id, SUM(delta) AS put FROM stock_ledger GROUP BY product_id) l ON l.product_id = p.id
            LEFT JOIN (SELECT product_id, SUM(quantity) AS sold FROM order_lines GROUP BY product_id) s ON s.product_id = p.id
            WHERE p.stock < 0 OR p.stock <> COALESCE(l.put, 0) - COALESCE(s.sold, 0) ORDER BY p.id",
        words: "I1 product {}: stock {} is not its ledger's {} less {} sold",
    },
    Check {
        sql: "SELECT o.id, l.product_id, CAST(l.quantity AS SIGNED INTEGER), s.delta
            FROM orders o
            JOIN (SELECT order_id, product_id, SUM(quantity) AS quantity FROM order_lines GROUP BY order_id, product_id) l ON l.order_id = o.id
            LEFT JOIN stock_ledger s ON s.order_id = o.id AND s.product_id = l.product_id AND s.kind = 'CANCEL'
            WHERE o.status = 'CANCELLED' AND (s.delta IS NULL OR s.delta <> l.quantity) ORDER BY o.id",
        words: "I1 cancelled order {}: of product {} it gave back not {} but {}",
    },
    Check {
        sql: "SELECT s.order_id, s.product_id FROM stock_ledger s LEFT JOIN orders o ON o.id = s.order_id
            WHERE s.kind = 'CANCEL' AND (o.id IS NULL OR o.status <> 'CANCELLED') ORDER BY s.order_id",
        words: "I1 order {}: product {} was given back and the order is not cancelled",
    },
    Check {
        sql: "SELECT w.user_id, w.balance, CAST(COALESCE(l.total, 0) AS SIGNED INTEGER)
            FROM wallets w
            LEFT JOIN (SELECT user_id, SUM(amount) AS total FROM wallet_ledger GROUP BY user_id) l ON l.user_id = w.user_id
            WHERE w.balance < 0 OR w.balance <> COALESCE(l.total, 0) ORDER BY w.user_id",
        words: "I3 user {}: the balance {} is not the ledger's sum {}",
    },
    Check {
        sql: "SELECT l.user_id, COUNT(*) FROM wallet_ledger l LEFT JOIN wallets w ON w.user_id = l.user_id
            WHERE w.user_id IS NULL GROUP BY l.user_id ORDER BY l.user_id",
        words: "I3 user {}: {} ledger entries and no wallet",
    },
    Check {
        sql: "SELECT o.id, o.discounted_amount, l.amount
            FROM orders o LEFT JOIN wallet_ledger l ON l.order_id = o.id AND l.kind = 'PAYMENT' AND l.user_id = o.user_id
            WHERE o.discounted_amount <> -COALESCE(l.amount, 0) ORDER BY o.id",
        words: "I3 order {}: to be paid {}, entered {}",
    },
    Check {
        sql: "SELECT o.id, o.discounted_amount, l.amount
            FROM orders o LEFT JOIN wallet_ledger l ON l.order_id = o.id AND l.kind = 'REFUND' AND l.user_id = o.user_id
            WHERE COALESCE(l.amount, 0) <> CASE WHEN o.status = 'CANCELLED' THEN o.discounted_amount ELSE 0 END ORDER BY o.id",
        words: "I3 order {}: paid {}, refunded {}, which does not go with its status",
    },
    Check {
        sql: "SELECT o.id, o.total_amount, CAST(l.total AS SIGNED INTEGER)
            FROM orders o LEFT JOIN (SELECT order_id, SUM(total_price) AS total FROM order_lines GROUP BY order_id) l ON l.order_id = o.id
            WHERE l.total IS NULL OR l.total <> o.total_amount OR o.discounted_amount <> o.total_amount - o.discount_amount ORDER BY o.id",
        words: "I3 order {}: total {} is not its lines' {}, or the discount does not fit",
    },
];
