//! The tables as diesel sees them, the same for SQLite and Postgres. Must say nothing that `migrations/` does not; a test compares them.
#![expect(
    missing_docs,
    reason = "each table and column is described in the migrations and in the README's table list"
)]

diesel::table! {
    conversations (id) {
        id -> Text,
        principal -> Text,
        title -> Text,
        tool -> Text,
        turn_count -> Integer,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    messages (id) {
        id -> Text,
        conversation_id -> Text,
        seq -> Integer,
        role -> Text,
        content -> Text,
        tool -> Text,
        model -> Text,
        provider -> Text,
        tokens -> Integer,
        call_id -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    calls (id) {
        id -> Text,
        principal -> Text,
        session_id -> Text,
        conversation_id -> Nullable<Text>,
        tool -> Text,
        request_hash -> Text,
        idempotency_key -> Nullable<Text>,
        state -> Text,
        replica -> Text,
        lease_until -> Nullable<BigInt>,
        receipt -> Nullable<Text>,
        result -> Nullable<Text>,
        error -> Nullable<Text>,
        accepted_at -> BigInt,
        dispatched_at -> Nullable<BigInt>,
        streaming_at -> Nullable<BigInt>,
        completed_at -> Nullable<BigInt>,
        failed_at -> Nullable<BigInt>,
        cancelled_at -> Nullable<BigInt>,
        interrupted_at -> Nullable<BigInt>,
        unknown_at -> Nullable<BigInt>,
        delivered_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    attempts (call_id, n) {
        call_id -> Text,
        n -> Integer,
        provider -> Text,
        model -> Text,
        host -> Text,
        state -> Text,
        status -> Nullable<Integer>,
        prompt_tokens -> Nullable<BigInt>,
        cached_tokens -> Nullable<BigInt>,
        completion_tokens -> Nullable<BigInt>,
        reasoning_tokens -> Nullable<BigInt>,
        cost_usd -> Nullable<Double>,
        dispatched_at -> BigInt,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    files (sha256) {
        sha256 -> Text,
        size -> BigInt,
        mime -> Text,
        name -> Text,
        ref_count -> Integer,
        state -> Text,
        created_at -> BigInt,
        last_used_at -> BigInt,
    }
}

diesel::table! {
    conversation_files (conversation_id, sha256) {
        conversation_id -> Text,
        sha256 -> Text,
        added_at -> BigInt,
    }
}

diesel::table! {
    provider_files (provider, sha256) {
        provider -> Text,
        sha256 -> Text,
        provider_file_id -> Nullable<Text>,
        upload_method -> Text,
        upload_status -> Text,
        error -> Nullable<Text>,
        uploaded_at -> Nullable<BigInt>,
        last_used_at -> BigInt,
    }
}

diesel::table! {
    sessions (id) {
        id -> Text,
        principal -> Text,
        client -> Text,
        protocol -> Text,
        transport -> Text,
        connected_at -> BigInt,
        closed_at -> Nullable<BigInt>,
        close_code -> Nullable<Integer>,
        messages_in -> BigInt,
        messages_out -> BigInt,
    }
}

diesel::table! {
    metrics_1min (window_start, metric, labels) {
        window_start -> BigInt,
        metric -> Text,
        labels -> Text,
        count -> BigInt,
        sum -> Double,
        min -> Nullable<Double>,
        max -> Nullable<Double>,
        p50 -> Nullable<Double>,
        p95 -> Nullable<Double>,
        p99 -> Nullable<Double>,
    }
}

diesel::table! {
    metrics_1hour (window_start, metric, labels) {
        window_start -> BigInt,
        metric -> Text,
        labels -> Text,
        count -> BigInt,
        sum -> Double,
        min -> Nullable<Double>,
        max -> Nullable<Double>,
        p50 -> Nullable<Double>,
        p95 -> Nullable<Double>,
        p99 -> Nullable<Double>,
    }
}

diesel::table! {
    metrics_flush_log (id) {
        id -> Text,
        at -> BigInt,
        batch_size -> Integer,
        status -> Text,
        error -> Nullable<Text>,
        replica -> Nullable<Text>,
        life -> Nullable<Text>,
    }
}

diesel::table! {
    events (id) {
        id -> Text,
        at -> BigInt,
        kind -> Text,
        direction -> Text,
        peer -> Text,
        bytes -> BigInt,
        ms -> BigInt,
        outcome -> Text,
        call_id -> Nullable<Text>,
        sampled -> BigInt,
    }
}

diesel::table! {
    auditor_observations (id) {
        id -> Text,
        at -> BigInt,
        severity -> Text,
        category -> Text,
        text -> Text,
        recommendation -> Text,
        confidence -> Double,
        evidence -> Text,
        acknowledged_by -> Nullable<Text>,
        acknowledged_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    storage_probe (id) {
        id -> Integer,
        at -> BigInt,
    }
}

diesel::joinable!(messages -> conversations (conversation_id));
diesel::joinable!(attempts -> calls (call_id));
diesel::joinable!(conversation_files -> conversations (conversation_id));
diesel::joinable!(conversation_files -> files (sha256));
diesel::allow_tables_to_appear_in_same_query!(
    conversations,
    messages,
    calls,
    attempts,
    files,
    conversation_files
);
