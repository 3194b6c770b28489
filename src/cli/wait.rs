//! Waiting until a verb is done: by the daemon's watch, with a bar on a terminal and plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::failure::Failure;
use super::goal::{Goal, Progress};
use super::session::{Session, Worlds};
use crate::api::client::{Client, ClientError};
use crate::api::proto;
use crate::domain::{Key, Reason, Revision, World};
use crate::wire::convert::FieldError;

/// A reason that stands this long is told.
const TELL_AFTER: Duration = Duration::from_secs(4);
/// A standstill without a reason is explained after this long.
const EXPLAIN_AFTER: Duration = Duration::from_secs(10);
/// A daemon that has not taken in what was written after this long is believed all the same: it may be removed again.
const UNSEEN_AT_MOST: Duration = Duration::from_mins(1);
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(150);
/// How often reasons are looked at while no record changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a verb waits.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Waiting {
    /// Return as soon as the request is recorded
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Give up waiting after this many seconds; the work goes on
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_wait")]
    pub(super) timeout: Option<u64>,
}

/// What is waited for, and what was written for it.
struct Errand<'a> {
    goal: &'a Goal,
    written: Vec<(Key, Revision)>,
    since: Instant,
    /// Once: what is removed afterwards has no revision to go by.
    shown: bool,
}

impl<'a> Errand<'a> {
    fn new(goal: &'a Goal, change: &proto::Change) -> Result<Self, Failure> {
        let written =
            change.written.iter().cloned().map(TryInto::try_into).collect::<Result<_, FieldError>>();
        Ok(Self { goal, written: written.map_err(ClientError::from)?, since: Instant::now(), shown: false })
    }

    /// A removal asks for a record that is there; one that is not was removed.
    fn shows(&self, world: &World, key: &Key, revision: Revision) -> bool {
        world.revision(key) >= revision || self.goal.is_removal() && world.record(key).is_none()
    }

    /// A world from before the verb says nothing of it: a volume that is not there yet is not gone.
    fn progress(&mut self, world: &World) -> Progress {
        self.shown |= self.since.elapsed() >= UNSEEN_AT_MOST
            || self.written.iter().all(|(key, revision)| self.shows(world, key, *revision));
        if self.shown {
            return self.goal.progress(world);
        }
        let line = format!("{}: recorded; the daemon has not taken it in yet", self.goal.object());
        Progress { line, ..Progress::default() }
    }
}

/// Waits until the goal of what was changed is reached and returns what came of it.
pub(super) async fn until(
    session: &mut Session,
    goal: &Goal,
    change: &proto::Change,
    waiting: Waiting,
) -> Result<String, Failure> {
    let mut errand = Errand::new(goal, change)?;
    let worlds = session.worlds().await?;
    let client = session.client()?.clone();
    let deadline = waiting.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut teller = Teller::new();
    let outcome = tokio::select! {
        outcome = follow(client, worlds, &mut errand, &mut teller) => Ok(outcome),
        () = sleep_until(deadline) => Err("the time to wait is over"),
        _ = tokio::signal::ctrl_c() => Err("interrupted"),
    };
    teller.end();
    outcome.unwrap_or_else(|why| Err(left(goal, why, &teller)))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waiting ended before the work did.
fn left(goal: &Goal, why: &str, teller: &Teller) -> Failure {
    let object = goal.object();
    let last = teller.last.as_ref().map(|line| format!("; {line}")).unwrap_or_default();
    Failure::new(
        format_args!("{why}: {object} is not done{last}"),
        format_args!("the work goes on; `mdfabric explain {object}` says how far it is"),
    )
}

async fn follow(
    mut client: Client,
    mut worlds: Worlds,
    errand: &mut Errand<'_>,
    teller: &mut Teller,
) -> Result<String, Failure> {
    let object = errand.goal.object();
    loop {
        let progress = errand.progress(worlds.world());
        if let Some(done) = progress.done {
            return Ok(done);
        }
        if let Some(why) = progress.failed {
            return Err(Failure::new(why, format_args!("`mdfabric explain {object}` says more")));
        }
        teller.show(&progress);
        if teller.is_stalled(&progress) {
            teller.say_all(&explained(&mut client, object.clone()).await);
        }
        // A pause in the changes is the time to tell the reasons that stand.
        if let Ok(changed) = tokio::time::timeout(LOOK_EVERY, worlds.changed()).await {
            changed?;
        }
    }
}

/// What the daemon knows beyond the records; nothing when it cannot be asked.
async fn explained(client: &mut Client, object: String) -> Vec<String> {
    let answer = client.explain(proto::ExplainRequest { object }).await;
    answer.map(|response| response.into_inner().lines).unwrap_or_default()
}

/// Shows progress on standard error.
struct Teller {
    bar: Option<ProgressBar>,
    last: Option<String>,
    last_at: Instant,
    explained: bool,
    standing: Vec<(Reason, Instant, bool)>,
}

impl Teller {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(1000).with_style(style(false)));
        if let Some(bar) = &bar {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, last: None, last_at: Instant::now(), explained: false, standing: Vec::new() }
    }

    fn show(&mut self, progress: &Progress) {
        if self.last.as_ref() != Some(&progress.line) {
            self.last = Some(progress.line.clone());
            self.last_at = Instant::now();
            self.explained = false;
            if self.bar.is_none() {
                eprintln!("{}", progress.line);
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_style(style(progress.permille.is_some()));
            bar.set_position(progress.permille.unwrap_or_default().into());
            bar.set_message(progress.line.clone());
        }
        self.tell_reasons(&progress.reasons);
    }

    /// Nothing has changed for long, and the records do not say why. Said once per standstill.
    fn is_stalled(&mut self, progress: &Progress) -> bool {
        let stalled =
            !self.explained && progress.reasons.is_empty() && self.last_at.elapsed() >= EXPLAIN_AFTER;
        self.explained |= stalled;
        stalled
    }

    fn say_all(&self, lines: &[String]) {
        for line in lines {
            self.say(&format!("  {line}"));
        }
    }

    fn tell_reasons(&mut self, reasons: &[Reason]) {
        let now = Instant::now();
        self.standing.retain(|(reason, _, _)| reasons.contains(reason));
        for reason in reasons {
            if !self.standing.iter().any(|(standing, _, _)| standing == reason) {
                self.standing.push((reason.clone(), now, false));
            }
        }
        let due: Vec<Reason> = self
            .standing
            .iter_mut()
            .filter(|(_, since, told)| !*told && now.duration_since(*since) >= TELL_AFTER)
            .map(|(reason, _, told)| {
                *told = true;
                reason.clone()
            })
            .collect();
        for reason in due {
            self.say(&format!("{}: {}: {}", severity(&reason), reason.code, reason.message));
            if !reason.next_step.is_empty() {
                self.say(&format!("  what to do: {}", reason.next_step));
            }
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn severity(reason: &Reason) -> String {
    format!("{:?}", reason.severity).to_lowercase()
}

fn style(measured: bool) -> ProgressStyle {
    let template =
        if measured { "{spinner} [{bar:30}] {msg} ({elapsed})" } else { "{spinner} {msg} ({elapsed})" };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
