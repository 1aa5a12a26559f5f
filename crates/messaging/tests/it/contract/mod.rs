//! What every event log must do, run on both adapters.
//! A new promise of the port gets its test here and its name in the list below.

mod groups;
mod publishing;
pub mod rebalance;
mod topics;

/// Each `area::test` takes a bed.
macro_rules! on_both {
    ($($area:ident::$test:ident,)*) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                if let Some(bed) = crate::bed::Bed::embedded().await {
                    super::$area::$test(&bed).await;
                }
            })*
        }

        mod kafka {
            $(#[tokio::test]
            async fn $test() {
                if let Some(bed) = crate::bed::Bed::kafka().await {
                    super::$area::$test(&bed).await;
                }
            })*
        }
    };
}

on_both! {
    publishing::order_is_kept_in_each_partition,
    publishing::batches_keep_their_order_on_a_new_topic,
    publishing::keys_land_where_java_puts_them,
    publishing::headers_come_back_as_they_were,
    publishing::nulls_are_not_empty,
    publishing::large_records_pass_and_too_large_ones_are_refused_alone,
    publishing::a_batch_too_large_for_the_topic_passes_record_by_record,
    publishing::unknown_places_are_refused_alone,
    publishing::publishers_side_by_side_lose_nothing,
    groups::a_group_resumes_where_it_committed,
    groups::what_was_not_committed_comes_again,
    groups::groups_do_not_disturb_each_other,
    groups::nothing_comes_before_ready,
    groups::seek_moves_within_the_partition,
    groups::latest_skips_what_was_there,
    groups::an_offset_out_of_range_stops_its_partition_only,
    groups::next_may_be_dropped_at_any_time,
    groups::a_member_may_join_before_the_topic_exists,
    groups::several_topics_in_one_membership,
    rebalance::two_members_share_and_lose_nothing,
    rebalance::a_member_that_leaves_hands_over_at_once,
    rebalance::a_dropped_member_hands_over,
    rebalance::a_revoked_partition_cannot_be_committed,
    rebalance::what_is_drained_can_be_committed,
    topics::topics_are_created_described_and_deleted,
    topics::a_topic_that_exists_is_left_as_it_is,
    topics::limits_are_told_in_the_order_asked,
    topics::watermarks_follow_the_records,
    topics::read_looks_without_a_group,
    topics::read_waits_for_what_comes,
    topics::what_does_not_exist_is_said_so,
}
