//! One fault made to happen: its point is told what to do, what leads there is done, and it is awaited that it fired.
//! Whoever died is started again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::json;
use testkit::Client;
use wiremock::matchers::method;
use wiremock::{Mock, ResponseTemplate};

use crate::PATIENCE;
use crate::fleet::{Fleet, Ground};
use crate::load::Load;
use crate::points::{Fault, Mode, Reach};
use crate::wire::{command, redis};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// From a broken connection to the process's end.
const DEATH_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries of what leads to a point only sometimes.
const TRY_EVERY: Duration = Duration::from_millis(300);
const PLACES: &str = "madang:ranking-places:{product:ranking:}";

pub struct Firing<'a> {
    pub ground: &'a mut Ground,
    pub fleet: &'a mut Fleet,
    pub load: &'a Load,
    pub fault: &'a Fault,
    pub random: &'a mut fastrand::Rng,
}

impl Firing<'_> {
    /// # Errors
    /// The point was not reached, or a process ended otherwise than it was told to.
    pub async fn fire(&mut self) -> Result<()> {
        let actions = self.actions();
        match self.fault.step.reach {
            Reach::Start => self.at_start(&actions).await?,
            Reach::Stop => self.at_stop(&actions).await?,
            Reach::Janitor => self.in_janitor(&actions).await?,
            Reach::Rebuild => self.in_rebuild(&actions).await?,
            _ => self.under_load(&actions).await?,
        }
        self.fleet.revive().await?;
        self.lead_back().await
    }

    /// What the point is told. Points that are come by all the time let a few pass, so that it happens anywhere.
    fn actions(&mut self) -> String {
        let often = self.fault.step.reach == Reach::Load;
        let pass = if often { self.random.u32(0..4) } else { 0 };
        let act = match self.fault.mode {
            Mode::Kill => "1*return(kill)".to_owned(),
            Mode::Error => format!("{}*return(error)", self.random.u32(1..4)),
            Mode::Delay => format!("2*return(delay:{})", self.random.u32(200..1_500)),
        };
        match pass {
            0 => format!("{act}->off"),
            pass => format!("{pass}*off->{act}->off"),
        }
    }

    async fn under_load(&mut self, actions: &str) -> Result<()> {
        let point = self.fault.point();
        let hosts = self.fleet.of(self.fault.step.role);
        for at in &hosts {
            self.arm_unless_dead(*at, &point, actions).await?;
        }
        let until = Instant::now() + PATIENCE;
        let mut led_at = None;
        let fired = loop {
            if led_at.is_none_or(|at: Instant| at.elapsed() >= TRY_EVERY) {
                let first = led_at.is_none();
                led_at = Some(Instant::now());
                self.lead(first).await?;
                self.lead_after(&hosts).await?;
            }
            if self.has_fired(&hosts, &point).await? {
                break true;
            }
            if Instant::now() >= until {
                break false;
            }
            tokio::time::sleep(LOOK).await;
        };
        for at in &hosts {
            self.arm_unless_dead(*at, &point, "off").await?;
            if let Reach::After(first, _) = self.fault.step.reach {
                self.arm_unless_dead(*at, first, "off").await?;
            }
        }
        ensure!(fired, "{point} was not reached within {PATIENCE:?}");
        Ok(())
    }

    /// Another step is to fail first, again and again until that has led there.
    async fn lead_after(&mut self, hosts: &[usize]) -> Result<()> {
        if let Reach::After(first, told) = self.fault.step.reach {
            for at in hosts {
                self.arm_unless_dead(*at, first, told).await?;
            }
        }
        Ok(())
    }

    /// Whoever is armed may die of the fault before it has answered.
    async fn arm_unless_dead(&mut self, at: usize, point: &str, actions: &str) -> Result<()> {
        let Err(error) = arm(&self.fleet.client(at), point, actions).await else {
            return Ok(());
        };
        let until = Instant::now() + DEATH_WITHIN;
        while Instant::now() < until {
            if self.fleet.has_died(at)? {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(error)
    }

    async fn has_fired(&mut self, hosts: &[usize], point: &str) -> Result<bool> {
        for at in hosts {
            if self.fleet.has_died(*at)? {
                ensure!(
                    self.fault.mode == Mode::Kill,
                    "a process died that was not killed"
                );
                return Ok(true);
            }
            // A kill may come while it is asked.
            let hits = self.fleet.client(*at).get("/failpoints").await;
            if self.fault.mode != Mode::Kill
                && hits.is_ok_and(|hits| hits.json[point]["fired"].as_u64() > Some(0))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What has to happen besides the load; `first`: it was not done before.
    async fn lead(&mut self, first: bool) -> Result<()> {
        match self.fault.step.reach {
            Reach::RedisRestart if first => {
                self.load
                    .shared
                    .journal
                    .with(|state| state.recovering = true);
                self.redis()?.restart().await
            }
            Reach::RedisForgets if first => {
                self.load
                    .shared
                    .journal
                    .with(|state| state.recovering = true);
                let url = self.redis()?.url();
                redis(&url, &[command(&["FLUSHALL"])]).await.map(drop)
            }
            Reach::BoardBehind => self.set_boards_back().await,
            Reach::PlatformFails if first => {
                Mock::given(method("POST"))
                    .respond_with(ResponseTemplate::new(500))
                    .up_to_n_times(20)
                    .with_priority(1)
                    .mount(&self.ground.platform)
                    .await;
                Ok(())
            }
            Reach::Pause => {
                // Whoever is asked may die of it.
                for what in ["pause", "resume"] {
                    let path = format!("/api/coupons/1/{what}");
                    let _ = self.load.shared.client.post(&path, &json!({})).await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn lead_back(&mut self) -> Result<()> {
        match self.fault.step.reach {
            Reach::Pause => self.resume().await,
            _ => Ok(()),
        }
    }

    async fn resume(&self) -> Result<()> {
        let path = "/api/coupons/1/resume";
        let answer = self.load.shared.look(Method::POST, path).await?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.text
        );
        Ok(())
    }

    fn redis(&mut self) -> Result<&mut testkit::Redis> {
        self.ground
            .redis
            .as_mut()
            .context("no Redis on this ground")
    }

    /// The boards know each partition up to one record less.
    async fn set_boards_back(&mut self) -> Result<()> {
        let url = self.redis()?.url();
        let answer = redis(&url, &[command(&["HGETALL", PLACES])]).await?;
        let values: Vec<&str> = answer
            .lines()
            .filter(|line| !line.starts_with(['*', '$', '+']))
            .collect();
        let mut commands = Vec::new();
        for pair in values.chunks_exact(2) {
            let next: i64 = pair[1]
                .parse()
                .with_context(|| format!("{PLACES}: {pair:?}"))?;
            if next > 0 {
                let before = (next - 1).to_string();
                commands.push(command(&["HSET", PLACES, pair[0], &before]));
            }
        }
        redis(&url, &commands).await.map(drop)
    }

    async fn at_start(&mut self, actions: &str) -> Result<()> {
        let point = self.fault.point();
        let hosts = self.fleet.of(self.fault.step.role);
        let at = hosts[self.random.usize(..hosts.len())];
        self.fleet.kill(at);
        self.fleet.launch(at, &format!("{point}={actions}"))?;
        let until = Instant::now() + PATIENCE;
        while !self.has_fired(&[at], &point).await? {
            ensure!(
                Instant::now() < until,
                "{point} was not reached within {PATIENCE:?}"
            );
            tokio::time::sleep(LOOK).await;
        }
        if self.fault.mode != Mode::Kill {
            self.fleet.ready(at).await?;
        }
        Ok(())
    }

    async fn at_stop(&mut self, actions: &str) -> Result<()> {
        let point = self.fault.point();
        let hosts = self.fleet.of(self.fault.step.role);
        let at = hosts[self.random.usize(..hosts.len())];
        arm(&self.fleet.client(at), &point, actions).await?;
        self.fleet.stop(at).await?;
        let said = self.fleet.logs();
        ensure!(
            said.contains(&format!("failpoint {point}:")),
            "{point} was not reached:\n{said}"
        );
        Ok(())
    }

    async fn in_rebuild(&mut self, actions: &str) -> Result<()> {
        let point = self.fault.point();
        let finished = self.ground.rebuild(&format!("{point}={actions}")).await?;
        let expected: &[i32] = match self.fault.mode {
            Mode::Kill => &[-1],
            // A page that failed cannot be fed again: the command says so.
            Mode::Error => &[0, 1],
            Mode::Delay => &[0],
        };
        let said = format!("failpoint {point}:");
        ensure!(
            expected.contains(&finished.code) && finished.stderr.contains(&said),
            "the rebuild ended with {}: {}{}",
            finished.code,
            finished.stdout,
            finished.stderr
        );
        Ok(())
    }

    async fn in_janitor(&mut self, actions: &str) -> Result<()> {
        let point = self.fault.point();
        // From now on the shop may have forgotten them.
        self.load.shared.journal.with(|state| state.told.clear());
        let until = Instant::now() + PATIENCE;
        while self.ground.age_answers().await? == 0 {
            ensure!(Instant::now() < until, "no answer to a key was stored");
            tokio::time::sleep(LOOK).await;
        }
        let mut janitor = self.ground.janitor(&format!("{point}={actions}"))?;
        let said = format!("failpoint {point}:");
        while !janitor.logs().contains(&said) {
            ensure!(
                Instant::now() < until,
                "{point} was not reached within {PATIENCE:?}"
            );
            if janitor.exit_code()?.is_some() && !janitor.logs().contains(&said) {
                bail!("the janitor ended: {}", janitor.logs());
            }
            tokio::time::sleep(LOOK).await;
        }
        janitor.kill();
        self.load.shared.journal.with(|state| state.told.clear());
        Ok(())
    }
}

async fn arm(client: &Client, point: &str, actions: &str) -> Result<()> {
    let path = format!("/failpoints/{point}");
    let body = Some(actions.as_bytes().to_vec());
    let answer = client.send(Method::PUT, &path, &[], body).await?;
    ensure!(
        answer.status == 204,
        "{path}: {} {}",
        answer.status,
        json!(answer.text)
    );
    Ok(())
}
