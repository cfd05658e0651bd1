// Package orderedmap holds the ordered map's methods that the CLI's source names.
package orderedmap

import "iter"

// Map keeps its keys in the order in which they were set.
type Map[K comparable, V any] struct {
	keys   []K
	values map[K]V
}

// New makes an empty map.
func New[K comparable, V any]() *Map[K, V] { return &Map[K, V]{values: map[K]V{}} }

// Len counts the entries; a nil map has none.
func Len[K comparable, V any](m *Map[K, V]) int {
	if m == nil {
		return 0
	}
	return len(m.keys)
}

// Set adds or replaces an entry.
func (m *Map[K, V]) Set(key K, value V) (V, bool) {
	old, found := m.values[key]
	if !found {
		m.keys = append(m.keys, key)
	}
	m.values[key] = value
	return old, found
}

// Get returns an entry.
func (m *Map[K, V]) Get(key K) (V, bool) {
	value, found := m.values[key]
	return value, found
}

// GetOrZero returns an entry or its zero value.
func (m *Map[K, V]) GetOrZero(key K) V { return m.values[key] }

// Delete removes an entry.
func (m *Map[K, V]) Delete(key K) (V, bool) {
	old, found := m.values[key]
	if found {
		delete(m.values, key)
		for i, k := range m.keys {
			if k == key {
				m.keys = append(m.keys[:i], m.keys[i+1:]...)
				break
			}
		}
	}
	return old, found
}

// FromOldest walks the entries in order.
func (m *Map[K, V]) FromOldest() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m == nil {
			return
		}
		for _, k := range m.keys {
			if !yield(k, m.values[k]) {
				return
			}
		}
	}
}

// KeysFromOldest walks the keys in order.
func (m *Map[K, V]) KeysFromOldest() iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range m.FromOldest() {
			if !yield(k) {
				return
			}
		}
	}
}
