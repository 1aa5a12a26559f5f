//! I3: a balance is the sum of its ledger, whose entries form one chain; each order was paid once, each cancel given back once.

use super::probe::Probe;

pub const PROBES: &[Probe] = &[BALANCES, CHAINS, PAYMENTS, REFUNDS, STRAYS];

const BALANCES: Probe = Probe {
    invariant: "I3",
    name: "balances",
    examined: "SELECT COUNT(*) FROM wallets",
    differing: "SELECT u.user_id AS a, 0 AS b, SUM(u.moved) AS c, SUM(u.balance) AS d FROM (
            SELECT user_id, 0 AS moved, balance FROM wallets
            UNION ALL SELECT user_id, SUM(amount) AS moved, 0 AS balance FROM wallet_ledger GROUP BY user_id
        ) u GROUP BY u.user_id HAVING SUM(u.moved) <> SUM(u.balance) OR SUM(u.balance) < 0",
    subject: "wallet of user {a}",
    expected: "balance {c}, the sum of its ledger",
    found: "balance {d}",
};

/// Each entry leads from one balance to another, from 0 to today's: every balance is come to as often as it is left.
/// Instants do not tell the entries' order (they are taken before the wallet is locked), so the two are compared as sums,
/// of squares (the plain ones are the balances' check) modulo a prime, which keeps a million of them within 64 bits.
const CHAINS: Probe = Probe {
    invariant: "I3",
    name: "chain of balances",
    examined: "SELECT COUNT(*) FROM wallet_ledger",
    differing: "SELECT w.user_id AS a, w.balance AS b, l.entries AS c, 0 AS d FROM wallets w
        JOIN (SELECT user_id, COUNT(*) AS entries,
                SUM((balance_after % 1000003) * (balance_after % 1000003))
                - SUM(((balance_after - amount) % 1000003) * ((balance_after - amount) % 1000003)) AS led
            FROM wallet_ledger GROUP BY user_id) l ON l.user_id = w.user_id
        WHERE l.led <> (w.balance % 1000003) * (w.balance % 1000003)",
    subject: "wallet of user {a}",
    expected: "{c} entries that lead from 0 to {b}, each on from another",
    found: "a gap",
};

const PAYMENTS: Probe = Probe {
    invariant: "I3",
    name: "payments",
    examined: "SELECT COUNT(*) FROM orders",
    differing:
        "SELECT o.id AS a, o.user_id AS b, o.discounted_amount AS c, -COALESCE(p.amount, 0) AS d
        FROM orders o LEFT JOIN wallet_ledger p ON p.order_id = o.id AND p.kind = 'PAYMENT'
        WHERE o.discounted_amount <> -COALESCE(p.amount, 0) OR p.user_id <> o.user_id",
    subject: "order {a}",
    expected: "{c} paid by user {b}",
    found: "{d} paid, or by another user",
};

const REFUNDS: Probe = Probe {
    invariant: "I3",
    name: "refunds",
    examined: "SELECT COUNT(*) FROM orders WHERE status = 'CANCELLED'",
    differing: "SELECT o.id AS a, o.user_id AS b, o.discounted_amount AS c, COALESCE(r.amount, 0) AS d
        FROM orders o LEFT JOIN wallet_ledger r ON r.order_id = o.id AND r.kind = 'REFUND'
        WHERE o.status = 'CANCELLED' AND (o.discounted_amount <> COALESCE(r.amount, 0) OR r.user_id <> o.user_id)",
    subject: "cancelled order {a}",
    expected: "{c} refunded to user {b}",
    found: "{d} refunded, or to another user",
};

const STRAYS: Probe = Probe {
    invariant: "I3",
    name: "payments and refunds for a reason",
    examined: "SELECT COUNT(*) FROM wallet_ledger WHERE kind IN ('PAYMENT', 'REFUND')",
    differing: "SELECT w.id AS a, w.user_id AS b, w.order_id AS c, w.amount AS d
        FROM wallet_ledger w LEFT JOIN orders o ON o.id = w.order_id AND (w.kind = 'PAYMENT' OR o.status = 'CANCELLED')
        WHERE (w.kind IN ('PAYMENT', 'REFUND') AND o.id IS NULL)
            OR (w.kind = 'CHARGE' AND (w.amount <= 0 OR w.order_id IS NOT NULL))",
    subject: "wallet entry {a} of user {b}",
    expected: "an order {c} that it pays, or whose cancel it refunds; or a top-up",
    found: "{d} without",
};
