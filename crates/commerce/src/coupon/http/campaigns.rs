//! Campaigns over HTTP: those that can be claimed, and the operator's create, change, pause, resume, close.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::model::{Discount, Patch, Quota, State as CouponState};
use super::super::{Campaign, Coupons, IssueMode, NewCampaign, Refusal, Wish};
use super::problem;
use crate::amount::{Name, Won};
use crate::answer::{Answer, Answered};
use crate::clock;
use crate::http::extract::NoBody;
use crate::http::{Caller, Command, Operator, PathOf, Problem, QueryOf};
use crate::ids::CouponId;
use crate::page::{Page, PageQuery};

/// A campaign as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Coupon)]
pub struct CouponView {
    pub id: CouponId,
    pub name: Name,
    pub discount_amount: Discount,
    pub min_order_amount: Won,
    pub total_quantity: Quota,
    /// Coupons of it that people hold; places in the queue are not counted.
    pub issued_quantity: i64,
    /// It can be claimed from here...
    pub valid_from: Timestamp,
    /// ...until just before here.
    pub valid_to: Timestamp,
    /// Coupons held can be used until just before here.
    pub expires_at: Timestamp,
    pub state: CouponState,
    pub issue_mode: IssueMode,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl From<&Campaign> for CouponView {
    fn from(campaign: &Campaign) -> Self {
        Self {
            id: campaign.id,
            name: campaign.name.clone(),
            discount_amount: campaign.discount_amount,
            min_order_amount: campaign.min_order_amount,
            total_quantity: campaign.quota,
            issued_quantity: campaign.issued,
            valid_from: campaign.claim_from,
            valid_to: campaign.claim_to,
            expires_at: campaign.expires_at,
            state: campaign.state,
            issue_mode: campaign.issue_mode,
            created_at: campaign.created_at,
            updated_at: campaign.updated_at,
        }
    }
}

/// A campaign as an operator asks for it, its window checked.
#[derive(Clone, Debug)]
pub struct Draft {
    pub name: Name,
    pub discount_amount: Discount,
    pub min_order_amount: Won,
    pub quota: Quota,
    pub claim_from: Timestamp,
    pub claim_to: Timestamp,
    pub expires_at: Timestamp,
}

impl Draft {
    #[must_use]
    pub fn campaign(self, id: CouponId, issue_mode: IssueMode, at: Timestamp) -> NewCampaign {
        NewCampaign {
            id,
            name: self.name,
            discount_amount: self.discount_amount,
            min_order_amount: self.min_order_amount,
            quota: self.quota,
            claim_from: clock::cut(self.claim_from),
            claim_to: clock::cut(self.claim_to),
            expires_at: clock::cut(self.expires_at),
            issue_mode,
            at,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CouponRequest, example = json!({
    "name": "Summer", "discountAmount": 5_000, "totalQuantity": 1_000, "minOrderAmount": 20_000,
    "validFrom": "2026-11-22T00:00:00Z", "validTo": "2027-11-22T00:00:00Z", "expiresAt": "2027-12-22T00:00:00Z",
}))]
pub(super) struct DraftBody {
    name: Name,
    discount_amount: Discount,
    total_quantity: Quota,
    valid_from: Timestamp,
    /// After `validFrom`.
    valid_to: Timestamp,
    /// Not before `validTo`.
    expires_at: Timestamp,
    /// The least total of an order that the coupon can be used in; 0 when absent.
    min_order_amount: Option<Won>,
}

impl DraftBody {
    fn check(self) -> Result<Draft, Problem> {
        if clock::cut(self.valid_from) >= clock::cut(self.valid_to) {
            return Err(Problem::field("/validTo", "must be after validFrom"));
        }
        if self.expires_at < self.valid_to {
            return Err(Problem::field("/expiresAt", "must not be before validTo"));
        }
        Ok(Draft {
            name: self.name,
            discount_amount: self.discount_amount,
            min_order_amount: self.min_order_amount.unwrap_or_default(),
            quota: self.total_quantity,
            claim_from: self.valid_from,
            claim_to: self.valid_to,
            expires_at: self.expires_at,
        })
    }
}

/// Fields to change; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CouponPatch, example = json!({"totalQuantity": 2_000}))]
pub(super) struct PatchBody {
    name: Option<Name>,
    discount_amount: Option<Discount>,
    /// Not below what is issued or has a place in the queue.
    total_quantity: Option<Quota>,
    valid_from: Option<Timestamp>,
    valid_to: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    min_order_amount: Option<Won>,
}

impl PatchBody {
    fn wish(self) -> Wish {
        Wish::Patch(Patch {
            name: self.name,
            discount_amount: self.discount_amount,
            min_order_amount: self.min_order_amount,
            quota: self.total_quantity,
            claim_from: self.valid_from.map(clock::cut),
            claim_to: self.valid_to.map(clock::cut),
            expires_at: self.expires_at.map(clock::cut),
        })
    }
}

fn answer(status: u16, location: Option<String>, campaign: &Campaign) -> Answer {
    let view = CouponView::from(campaign);
    Answer {
        status,
        location,
        // A struct of strings and numbers always serializes.
        body: Bytes::from(serde_json::to_vec(&view).unwrap_or_default()),
    }
}

/// How a creation is told, and told again.
pub(in crate::coupon) fn created_answer(outcome: &Result<Campaign, Refusal>) -> Answer {
    match outcome {
        Ok(campaign) => {
            let location = format!("/api/coupons/{}", campaign.id);
            answer(201, Some(location), campaign)
        }
        // There is nothing to refuse a new campaign for.
        Err(_) => Problem::internal().to_answer(),
    }
}

/// How a change of this coupon is told, and told again.
pub(in crate::coupon) fn changed_answer(
    coupon: CouponId,
) -> impl Fn(&Result<Campaign, Refusal>) -> Answer + Send + Sync {
    move |outcome| match outcome {
        Ok(campaign) => answer(200, None, campaign),
        Err(refusal) => refusal.problem(coupon).to_answer(),
    }
}

/// Coupons that can be claimed now
#[utoipa::path(
    get,
    path = "/api/coupons",
    tag = "coupons",
    params(PageQuery),
    responses(
        (status = 200, description = "A page, by id", body = Page<CouponView>),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(coupons): State<Arc<Coupons>>,
    _caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<Page<CouponView>>, Problem> {
    let page = query
        .check()
        .map_err(|(name, detail)| Problem::field(format!("?{name}"), detail))?;
    let page = coupons.claimable(page).await?;
    Ok(Json(Page {
        items: page.items.iter().map(CouponView::from).collect(),
        next_cursor: page.next_cursor,
    }))
}

/// One coupon
#[utoipa::path(
    get,
    path = "/api/coupons/{id}",
    tag = "coupons",
    params(("id" = CouponId, Path)),
    responses(
        (status = 200, description = "The coupon", body = CouponView),
        (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`coupon-not-found`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(coupons): State<Arc<Coupons>>,
    _caller: Caller,
    PathOf(id): PathOf<CouponId>,
) -> Result<Json<CouponView>, Problem> {
    let campaign = coupons.find(id).await.map_err(|e| problem(e, id))?;
    Ok(Json(CouponView::from(&campaign)))
}

/// Create a first-come campaign (operator)
#[utoipa::path(
    post,
    path = "/api/coupons",
    tag = "coupons",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the same answer.")),
    request_body = DraftBody,
    responses(
        (status = 201, description = "Created", body = CouponView, headers(("Location" = String))),
        (status = 400, description = "`validation`, `malformed-json`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`idempotency-in-flight`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`payload-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported-media-type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `outcome-unknown`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(coupons): State<Arc<Coupons>>,
    _: Operator,
    command: Command<DraftBody>,
) -> Result<Answered, Problem> {
    let draft = command.value.check()?;
    Ok(coupons.create(draft, command.claim.as_ref()).await?)
}

/// Change a campaign (operator)
#[utoipa::path(
    patch,
    path = "/api/coupons/{id}",
    tag = "coupons",
    params(
        ("id" = CouponId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the same answer."),
    ),
    request_body = PatchBody,
    responses(
        (status = 200, description = "Changed", body = CouponView),
        (status = 400, description = "`validation`, `malformed-json`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`coupon-not-found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`coupon-closed`, `coupon-quota-too-low`, `coupon-window`, `idempotency-in-flight`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`payload-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported-media-type`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency-mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `outcome-unknown`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn patch(
    State(coupons): State<Arc<Coupons>>,
    _: Operator,
    PathOf(id): PathOf<CouponId>,
    command: Command<PatchBody>,
) -> Result<Answered, Problem> {
    let wish = command.value.wish();
    let answered = coupons.change(id, wish, command.claim.as_ref()).await;
    answered.map_err(|e| problem(e, id))
}

/// A route without a body that moves a campaign to another state.
macro_rules! transition {
    ($(#[$doc:meta])* $name:ident, $path:literal, $wish:expr, $conflicts:literal) => {
        $(#[$doc])*
        #[utoipa::path(
            post,
            path = $path,
            tag = "coupons",
            params(
                ("id" = CouponId, Path),
                ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the same answer."),
            ),
            responses(
                (status = 200, description = "Done, or so already", body = CouponView),
                (status = 400, description = "`validation`", body = Problem, content_type = "application/problem+json"),
                (status = 401, description = "`unauthorized`", body = Problem, content_type = "application/problem+json"),
                (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
                (status = 404, description = "`coupon-not-found`", body = Problem, content_type = "application/problem+json"),
                (status = 409, description = $conflicts, body = Problem, content_type = "application/problem+json"),
                (status = 413, description = "`payload-too-large`", body = Problem, content_type = "application/problem+json"),
                (status = 422, description = "`idempotency-mismatch`", body = Problem, content_type = "application/problem+json"),
                (status = 503, description = "`unavailable`, `outcome-unknown`", body = Problem, content_type = "application/problem+json"),
            )
        )]
        pub(super) async fn $name(
            State(coupons): State<Arc<Coupons>>,
            _: Operator,
            PathOf(id): PathOf<CouponId>,
            command: Command<NoBody>,
        ) -> Result<Answered, Problem> {
            let answered = coupons.change(id, $wish, command.claim.as_ref()).await;
            answered.map_err(|e| problem(e, id))
        }
    };
}

transition!(
    /// Pause a campaign (operator)
    pause,
    "/api/coupons/{id}/pause",
    Wish::Pause,
    "`coupon-closed`, `idempotency-in-flight`"
);
transition!(
    /// Go on with a paused campaign (operator)
    resume,
    "/api/coupons/{id}/resume",
    Wish::Resume,
    "`coupon-closed`, `idempotency-in-flight`"
);
transition!(
    /// Close a campaign for good (operator)
    close,
    "/api/coupons/{id}/close",
    Wish::Close,
    "`idempotency-in-flight`"
);
