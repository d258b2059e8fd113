//! The SQL sink on real databases: one suite, three servers; and what ODBC does differently on two of them.

#![allow(unreachable_pub)]

mod checks;
mod exact;
mod frozen;
mod kinds;
mod pooler;
mod protocol;
mod proxy;
mod refusals;
mod suite;
mod target;
mod troubles;
mod values;

/// Each test on each server.
macro_rules! suite {
    ($($module:ident: $($test:ident),+;)+) => {
        suite!(@server mariadb MariaDb new; $($module: $($test),+;)+);
        suite!(@server postgres Postgres new; $($module: $($test),+;)+);
        suite!(@server sqlite Sqlite new; $($module: $($test),+;)+);
    };
    (odbc $($module:ident: $($test:ident),+;)+) => {
        suite!(@server odbc_mariadb MariaDb odbc; $($module: $($test),+;)+);
        suite!(@server odbc_postgres Postgres odbc; $($module: $($test),+;)+);
    };
    (@server $name:ident $server:ident $new:ident; $($module:ident: $($test:ident),+;)+) => {
        mod $name {
            $($(
                #[tokio::test]
                async fn $test() {
                    let mut target = crate::target::Target::$new(crate::target::Server::$server).await;
                    crate::$module::$test(&mut target).await;
                    target.end().await;
                }
            )+)+
        }
    };
}

suite! {
    suite: holds_what_every_sink_must;
    frozen: what_an_earlier_version_stored_is_taken_up;
    protocol: names_differ_by_case, one_of_two_writers_wins, an_unknown_outcome_is_called_so,
        a_dropped_write_stores_nothing, refused_rows_are_kept_beside_the_table,
        without_provenance_refused_rows_have_no_offset, many_partitions_move_together, at_least_once_keeps_no_tables,
        a_connection_that_was_killed;
    values: types_round_trip, text_is_read_by_the_database, times_are_local_where_a_type_has_no_zone, not_a_number,
        upsert_replaces_and_the_last_row_wins, rows_are_deleted_by_their_key, a_table_is_created, case_differs, large_batches,
        many_rows_are_what_few_are, long_rows,
        dead_letters_have_a_table;
    exact: whole_numbers, numbers_in_columns_of_floats, numbers_in_columns_of_decimals, texts_keep_their_spaces,
        dates_and_times, null_is_null_in_every_type, ids_are_stored_as_given, created_columns_hold_every_digit;
    refusals: a_row_is_refused_for_whatever_reason, a_few_of_many_are_refused, what_concerns_all_rows_stops, a_single_row_is_refused_alone,
        a_trigger_that_skips_rows, a_trigger_that_fails_for_some_rows_alone, rejects_have_a_primary_key;
    troubles: what_passes_is_tried_again, tables_are_altered_in_mid_run, a_session_that_is_silent_in_a_transaction_ends,
        a_statement_that_takes_too_long_is_cut_smaller;
    checks: a_missing_table, a_missing_column, a_column_of_another_type, a_column_that_must_be_given,
        an_upsert_without_its_index, settings_that_contradict, opening_writes_nothing, own_tables_elsewhere;
    kinds: types_of_their_own, lists, computed_columns, views, views_without_transactions, tables_for_reference,
        a_proof_holds;
}

suite! {
    odbc
    suite: holds_what_every_sink_must;
    protocol: names_differ_by_case, one_of_two_writers_wins, an_unknown_outcome_is_called_so,
        refused_rows_are_kept_beside_the_table, many_partitions_move_together, at_least_once_keeps_no_tables;
    values: types_round_trip, upsert_replaces_and_the_last_row_wins, rows_are_deleted_by_their_key, a_table_is_created,
        large_batches, long_rows;
    kinds: types_of_their_own, lists, tables_for_reference, a_proof_holds;
}
