//! The bugs that these checks found in this project.

/// What was wrong, what found it, and the test that holds it now.
pub(super) const FOUND: &[(&str, &str, &str)] = &[
    (
        "a clock set forward by an hour proved a machine gone and freed its slot",
        "`--example torture`, `engine.clock_forward`",
        "a_clock_that_is_set_proves_no_machine_gone",
    ),
    (
        "a look that began before the launch was one of the two that prove an absence",
        "`--example model_check`, late looks",
        "a_look_before_the_launch_is_none_of_the_two_that_prove_an_absence",
    ),
    (
        "a launch id could be drawn twice, and two runners would have had one token",
        "`--example torture`, `engine.entropy_repeated`",
        "ids_that_the_log_knows_are_drawn_anew",
    ),
    (
        "a client wrote to a log of which it could not read the last record",
        "`--example torture`, `store.newer_record`",
        "who_has_read_what_it_cannot_read_appends_nothing",
    ),
    (
        "denied, on a second send, proved that the first had launched nothing",
        "`--example torture`, property `slots`",
        "a_second_send_that_is_denied_or_invalid_frees_nothing",
    ),
    (
        "a log file that may not be written was said to be out of reach, and tried again as if it were busy",
        "read-only files under SQLite",
        "a_log_that_may_not_be_written_says_so_and_is_read",
    ),
    (
        "a notice that fell due while notices were looked for was lost by the EC2 sandbox",
        "`cargo test -p examples`, the sandbox's faults",
        "a_notice_is_noted_at_whichever_moment_it_falls_due",
    ),
    (
        "each machine's end was a call of its own, and a fleet's ends ran into the account's limits",
        "`cargo test -p dstack-aws`, the fleet",
        "what_is_asked_for_at_once_is_one_call_and_each_gets_its_own_answer",
    ),
    (
        "an SSH transfer that stood still was never given up",
        "`cargo test -p dstack-core`, links that stall",
        "a_transfer_that_stands_still_is_given_up_and_the_runner_still_answers",
    ),
    (
        "a home inside the project was packed and sent with it, its keys included",
        "`cargo test -p dstack-cli`, runs",
        "a_home_within_the_project_is_not_sent",
    ),
    (
        "an attempt's lock could be seen before the text that says whose it is",
        "`cargo test -p dstack-core`, decisions on a runner",
        "one_who_is_held_while_deciding_has_not_decided",
    ),
];
