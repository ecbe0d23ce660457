package web

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"poold/web/model"
)

// gathered reads what the pages show of the metrics of this process.
func gathered(from prometheus.Gatherer) (map[string]model.Cloud, error) {
	families, err := from.Gather()
	if err != nil {
		return nil, err
	}
	g := gathering{clouds: map[string]*model.Cloud{}}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			g.take(f.GetName(), m)
		}
	}
	clouds := make(map[string]model.Cloud, len(g.clouds))
	for name, c := range g.clouds {
		slices.SortFunc(c.Services, func(a, b model.Service) int { return cmp.Compare(a.Name, b.Name) })
		clouds[name] = *c
	}
	return clouds, nil
}

// gathering is what was read so far.
type gathering struct {
	clouds map[string]*model.Cloud
}

func (g *gathering) take(name string, m *dto.Metric) {
	labels := make(map[string]string, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	switch name {
	case "poold_launcher_last_list_timestamp_seconds":
		g.cloud(labels).LastList = moment(m.GetGauge().GetValue())
	case "poold_launcher_unanswered_since_timestamp_seconds":
		g.cloud(labels).Unanswered = moment(m.GetGauge().GetValue())
	case "poold_cloud_paused_until_timestamp_seconds":
		g.cloud(labels).PausedUntil = moment(m.GetGauge().GetValue())
	case "poold_cloud_rate_calls_per_second":
		g.service(labels).Rate = m.GetGauge().GetValue()
	case "poold_cloud_waiting_calls":
		g.service(labels).Waiting += int(m.GetGauge().GetValue())
	case "poold_cloud_calls_total":
		s := g.service(labels)
		s.Calls = append(s.Calls, model.Calls{
			Operation: labels["operation"], Outcome: labels["outcome"], Count: int64(m.GetCounter().GetValue()),
		})
	}
}

func (g *gathering) cloud(labels map[string]string) *model.Cloud {
	name := labels["provider"]
	if g.clouds[name] == nil {
		g.clouds[name] = &model.Cloud{}
	}
	return g.clouds[name]
}

func (g *gathering) service(labels map[string]string) *model.Service {
	c, name := g.cloud(labels), labels["service"]
	for i := range c.Services {
		if c.Services[i].Name == name {
			return &c.Services[i]
		}
	}
	c.Services = append(c.Services, model.Service{Name: name})
	return &c.Services[len(c.Services)-1]
}

// moment is a time of a gauge, where 0 is never.
func moment(seconds float64) time.Time {
	if seconds <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(seconds * 1000))
}

// outcomes sums the calls of a cloud by how they ended, most first.
func outcomes(c *model.Cloud) []model.Calls {
	sums := map[string]int64{}
	for i := range c.Services {
		for _, calls := range c.Services[i].Calls {
			sums[calls.Outcome] += calls.Count
		}
	}
	all := make([]model.Calls, 0, len(sums))
	for _, outcome := range slices.Sorted(maps.Keys(sums)) {
		all = append(all, model.Calls{Outcome: outcome, Count: sums[outcome]})
	}
	slices.SortStableFunc(all, func(a, b model.Calls) int { return cmp.Compare(b.Count, a.Count) })
	return all
}
