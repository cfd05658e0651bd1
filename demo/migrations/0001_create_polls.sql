create table polls (
    id bigint generated always as identity primary key,
    question text not null,
    launched_at timestamptz not null default now(),
    closes_at timestamptz not null
);

-- The number of running polls is asked for at every scrape.
create index polls_by_closing on polls (closes_at);
