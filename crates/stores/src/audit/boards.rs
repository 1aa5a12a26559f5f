//! I6: each day's board equals a recount of the orders table, compared in one step with a shadow that was fed with it.
//! What foreign events count for is no difference; it is said.

use commerce::ranking::Rankings;

use super::{Check, Difference, Error, Settings};

pub async fn check(rankings: &Rankings, settings: &Settings) -> Result<Check, Error> {
    let mut check = Check::new("I6", "ranking boards");
    for day in rankings.known_days().await? {
        let compared = rankings.compare(day, settings.listed_max).await?;
        check.examined += compared.products;
        check.differences += compared.different;
        let room = settings.listed_max.saturating_sub(check.listed.len());
        let listed = compared.differences.iter().take(room);
        check.listed.extend(listed.map(|d| Difference {
            subject: format!("board of {day}, product {}", d.product),
            expected: format!("{} sold for {}", d.expected_score, d.expected_amount),
            found: format!("{} sold for {}", d.found_score, d.found_amount),
        }));
        if compared.foreign != 0 {
            let foreign = compared.foreign;
            check.remarks.push(format!(
                "board of {day}: {foreign} pieces from foreign events"
            ));
        }
    }
    Ok(check)
}
