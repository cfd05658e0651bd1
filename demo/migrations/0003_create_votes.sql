create table votes (
    id bigint generated always as identity primary key,
    poll_id bigint not null,
    position smallint not null,
    cast_at timestamptz not null default now(),
    foreign key (poll_id, position) references poll_options (poll_id, position) on delete cascade
);

create index votes_by_option on votes (poll_id, position);
