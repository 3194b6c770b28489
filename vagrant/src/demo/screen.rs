//! What is seen while the demo runs: the tables of the command line, live on a terminal, as changed lines elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::lab::Lab;
use crate::node::Node;

/// Between two looks: a look costs the guest a process.
const LOOK: Duration = Duration::from_millis(700);
/// Lines of what was done that stay on the screen.
const SAID_KEPT: usize = 8;
/// Asks for both tables at once.
const TABLES: &str = "mdfabric volume ls; echo; mdfabric replica ls";

/// The phases each volume was seen in, in order, with the moments.
#[derive(Debug, Clone, Default)]
pub(super) struct Phases(BTreeMap<String, Vec<(f64, String)>>);

impl Phases {
    /// The phases of one volume, repetitions left out.
    pub(super) fn of(&self, name: &str) -> Vec<String> {
        self.0.get(name).into_iter().flatten().map(|(_, phase)| phase.clone()).collect()
    }
}

enum Message {
    Title(String),
    Say(String),
    Stop,
}

/// A thread that looks and draws.
pub(super) struct Screen {
    messages: Sender<Message>,
    thread: JoinHandle<Phases>,
}

impl Screen {
    /// Starts it; it looks from node-2, which has least to do.
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let (messages, inbox) = mpsc::channel();
        let eye = lab.node("node-2")?;
        let painter = Painter {
            start: Instant::now(),
            live: std::io::stdout().is_terminal(),
            title: String::new(),
            said: Vec::new(),
            shown: String::new(),
            phases: Phases::default(),
        };
        let thread = thread::Builder::new().spawn(move || painter.run(&eye, &inbox)).context("no thread")?;
        Ok(Self { messages, thread })
    }

    /// Begins an act.
    pub(super) fn title(&self, text: &str) {
        self.messages.send(Message::Title(text.to_owned())).ok();
    }

    /// Says what is done.
    pub(super) fn say(&self, text: &str) {
        self.messages.send(Message::Say(text.to_owned())).ok();
    }

    /// Ends it.
    pub(super) fn stop(self) -> Phases {
        self.messages.send(Message::Stop).ok();
        self.thread.join().unwrap_or_default()
    }
}

struct Painter {
    start: Instant,
    live: bool,
    title: String,
    said: Vec<String>,
    shown: String,
    phases: Phases,
}

impl Painter {
    fn run(mut self, eye: &Node, inbox: &Receiver<Message>) -> Phases {
        let mut next = Instant::now();
        loop {
            match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Message::Title(text)) => self.title(text),
                Ok(Message::Say(text)) => self.say(&text),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return self.phases,
                Err(RecvTimeoutError::Timeout) => {
                    if let Ok(output) = eye.sh(TABLES) {
                        self.tables(&output.stdout);
                    }
                    next = Instant::now() + LOOK;
                }
            }
        }
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn title(&mut self, text: String) {
        if !self.live {
            println!("\n== {text}");
        }
        self.title = text;
        self.said.clear();
    }

    fn say(&mut self, text: &str) {
        let line = format!("{:6.1} s  {text}", self.seconds());
        if !self.live {
            println!("{line}");
        }
        self.said.push(line);
        let surplus = self.said.len().saturating_sub(SAID_KEPT);
        self.said.drain(..surplus);
    }

    fn tables(&mut self, text: &str) {
        self.note_phases(text);
        let plain = without_age(text);
        if self.live {
            self.draw(text);
        } else if plain != self.shown {
            for line in plain.lines().filter(|line| !self.shown.contains(*line) && !line.trim().is_empty()) {
                println!("{:6.1} s    {line}", self.seconds());
            }
        }
        self.shown = plain;
    }

    fn note_phases(&mut self, text: &str) {
        let seconds = self.seconds();
        let volumes = text.lines().skip(1).take_while(|line| !line.is_empty());
        for (name, phase) in volumes.filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        }) {
            let seen = self.phases.0.entry(name.to_owned()).or_default();
            if seen.last().is_none_or(|(_, last)| last != phase) {
                seen.push((seconds, phase.to_owned()));
            }
        }
    }

    /// The whole screen anew, in one write so that it does not flicker.
    fn draw(&self, tables: &str) {
        let mut frame = String::from("\x1b[H\x1b[2J");
        writeln!(
            frame,
            "\x1b[1mmdfabric demo\x1b[0m  {:.0} s\n\n\x1b[1;36m{}\x1b[0m\n",
            self.seconds(),
            self.title
        )
        .ok();
        frame.push_str(&tables.lines().fold(String::new(), |text, line| text + &coloured(line) + "\n"));
        frame.push('\n');
        for line in &self.said {
            writeln!(frame, "\x1b[2m{line}\x1b[0m").ok();
        }
        let mut out = std::io::stdout().lock();
        out.write_all(frame.as_bytes()).and_then(|()| out.flush()).ok();
    }
}

/// States in the colours of traffic lights.
fn coloured(line: &str) -> String {
    let paint =
        |line: String, word: &str, colour: u8| line.replace(word, &format!("\x1b[{colour}m{word}\x1b[0m"));
    let line = paint(line.to_owned(), "Synced", 32);
    let line = paint(line, "Syncing", 33);
    let line = paint(line, "Replacing", 35);
    paint(line, "Deleting", 31)
}

/// The tables without their last column, which changes every second.
fn without_age(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| {
        let line = line.trim_end();
        all + line.rsplit_once(char::is_whitespace).map_or(line, |(rest, _)| rest.trim_end()) + "\n"
    })
}
